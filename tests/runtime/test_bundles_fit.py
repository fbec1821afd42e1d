"""Invariant 10: a bundle comes back as it went, or is refused with every misfit listed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestra import BundleError, ComposedModel, GraphError
from tests.tiny import compose, model, pair, tokens


def saved(folder: Path) -> ComposedModel:
    composed = compose(model("llama"), torch.float32, kv=model("gpt2", seed=1), far=model("falcon", seed=2))
    composed.save_bridges(folder)
    return composed


def from_bundle(folder: Path, **fields: Any) -> dict[str, Any]:
    return {"bridges": str(folder), **fields}


def again(folder: Path, anchor: Any = None, kv: Any = None) -> ComposedModel:
    return compose(
        anchor or model("llama"),
        torch.float32,
        fresh=True,
        kv=(kv or model("gpt2", seed=1), from_bundle(folder / "kv")),
        far=(model("falcon", seed=2), from_bundle(folder / "far")),
    )


@pytest.mark.parametrize(
    "recipe", [{"gate": "token"}, {"gate": "none", "positions": "none"}, {"variant": "calm"}], ids=str
)
def test_every_kind_of_bridge_comes_back_as_it_went(tmp_path: Path, recipe: dict[str, str]) -> None:
    fields = {"bridges": {"pairs": [pair(0, "embedding"), pair(1, 2)], "heads": 7, **recipe}}
    composed = compose(model("llama"), torch.float32, kv=(model("gpt2", seed=1), fields))
    composed.save_bridges(tmp_path)
    other = compose(model("llama"), torch.float32, fresh=True, kv=(model("gpt2", seed=1), from_bundle(tmp_path / "kv")))
    with torch.no_grad():
        assert torch.equal(other(tokens()).logits, composed(tokens()).logits)
    assert other.plan.graph.sites == composed.plan.graph.sites


def test_save_pretrained_writes_the_bundles_and_nothing_else(tmp_path: Path) -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    composed.save_pretrained(tmp_path, safe_serialization=True)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["kv/README.md", "kv/bridge_config.json", "kv/bridge_model.safetensors"]


def test_one_stack_is_saved_alone_with_what_is_known_of_it(tmp_path: Path) -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1), far=model("falcon", seed=2))
    composed.save_stack("kv", tmp_path / "mine", recipe={"steps": 3}, scores={"exact": 0.5})
    config = json.loads((tmp_path / "mine" / "bridge_config.json").read_text())
    assert (config["recipe"]["steps"], config["scores"]["exact"]) == (3, 0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_bundles_over_the_same_models_load(tmp_path: Path) -> None:
    composed = saved(tmp_path)
    other = again(tmp_path)
    for name, weight in composed.trainable():
        assert torch.equal(dict(other.trainable())[name], weight)


def test_a_bundle_of_other_weights_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(BundleError) as error:
        again(tmp_path, kv=model("gpt2", seed=3))
    pattern = (
        r".*/kv: does not fit: the augment's weights are [0-9a-f]{12} \(kv\), "
        r"and it was trained with [0-9a-f]{12} \(kv\)\."
    )
    assert re.fullmatch(pattern, str(error.value))


def test_every_misfit_is_listed(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(BundleError) as error:
        compose(model("llama", seed=5), kv=(model("gpt2", seed=3), from_bundle(tmp_path / "kv")))
    anchor, augment = str(error.value).splitlines()
    assert "the anchor's weights are" in anchor
    assert "the augment's weights are" in augment


def test_other_widths_are_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(GraphError) as error:
        again(tmp_path, kv=model("gpt_neox", seed=1))
    assert "width" in str(error.value)
    assert "36" in str(error.value)


def test_another_alignment_version_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "kv" / "bridge_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "alignment_version": 2}))
    with pytest.raises(GraphError) as error:
        again(tmp_path)
    assert str(error.value) == (
        f"augments.kv.bridges ({tmp_path / 'kv'}) has alignment version 2; this version of Orchestra aligns by "
        "version 1. Train the bundle again."
    )


def test_bridges_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    with torch.no_grad():
        composed.stack("kv").bridges()[0].out.weight[0, 0] = float("nan")
    with pytest.raises(BundleError, match="NaN or infinity"):
        composed.save_bridges(tmp_path)
    assert list(tmp_path.iterdir()) == []
