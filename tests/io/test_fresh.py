import json
from pathlib import Path

import pytest
import torch

from orchestra.io.facts import tokenizer_fingerprint
from orchestra.io.fresh import write_fresh
from orchestra.io.models import load_model
from tests import folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folders.checkpoint(tmp_path / "kv", "gpt2", seed=1)


def test_a_fresh_model_has_the_shape_and_the_tokenizer_and_other_weights(folder: Path, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    fresh = write_fresh(folder, tmp_path / "fresh", seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    known, drawn = (load_model(place, dtype="auto", device="cpu") for place in (folder, fresh))
    assert {name: weight.shape for name, weight in known.state_dict().items()} == {
        name: weight.shape for name, weight in drawn.state_dict().items()
    }
    assert known.dtype == drawn.dtype
    alike = [name for name, weight in known.state_dict().items() if torch.equal(weight, drawn.state_dict()[name])]
    assert all(name.endswith("bias") or ".ln_" in name for name in alike)
    assert tokenizer_fingerprint(fresh) == tokenizer_fingerprint(folder)


def test_the_same_seed_draws_the_same_weights(folder: Path, tmp_path: Path) -> None:
    one, again, other = (
        (write_fresh(folder, tmp_path / f"fresh-{number}", seed=seed) / "model.safetensors").read_bytes()
        for number, seed in enumerate((7, 7, 11))
    )
    assert one == again != other


def test_what_is_there_is_kept_and_what_was_cut_off_is_not_taken_for_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".fresh.partial").mkdir()
    fresh = write_fresh(folder, tmp_path / "fresh", seed=0)
    content = json.loads((fresh / "config.json").read_text())
    (fresh / "config.json").write_text(json.dumps(content | {"kept": True}))
    assert "kept" in json.loads((write_fresh(folder, fresh, seed=1) / "config.json").read_text())
    assert not list(tmp_path.glob(".*.partial"))
