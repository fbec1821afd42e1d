import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from orchestra.errors import ModelError
from orchestra.io import conversion
from orchestra.io.conversion import converted
from orchestra.io.models import load_model, load_tokenizer
from tests import folders, ggufs, tiny


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A GGUF file of a tiny model."""
    return ggufs.write(tmp_path / "m.gguf", ggufs.llama())


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(tiny.tokens()).logits
    return found


def load(path: Path) -> PreTrainedModel:
    return load_model(path, dtype="auto", device="cpu")


def test_a_converted_model_is_the_one_that_was_written(path: Path) -> None:
    assert torch.equal(logits(load(path)), logits(ggufs.llama()))


def test_half_precision_is_kept(tmp_path: Path) -> None:
    model = load(ggufs.write(tmp_path / "h.gguf", ggufs.llama(), half=True))
    assert model.dtype == torch.float16
    held, written = model.state_dict(), ggufs.llama().half().state_dict()
    assert all(torch.equal(held[name], weight) for name, weight in written.items())
    torch.testing.assert_close(logits(model).float(), logits(ggufs.llama()), rtol=0.01, atol=0.02)


def test_the_tokenizer_comes_along_and_stays_with_the_model(path: Path) -> None:
    tokenizer = load_tokenizer(path)
    assert tokenizer is not None
    ids = tokenizer("an a b")["input_ids"]
    assert [ggufs.TOKENS[place] for place in ids] == ["<s>", "▁a", "n", "▁a", "▁b"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "an a b"


def test_a_file_without_a_tokenizer_is_a_model_without_one(tmp_path: Path) -> None:
    path = ggufs.write(tmp_path / "m.gguf", ggufs.llama(), tokenizer=False)
    assert torch.equal(logits(load(path)), logits(ggufs.llama()))
    assert load_tokenizer(path) is None


def test_a_file_is_converted_once_and_it_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = converted(path)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"Converting m.gguf (0 MB) once, into {folder} ...\n")
    assert told.err.endswith("Converted m.gguf: 0 MB.\n")
    monkeypatch.setattr(conversion, "_convert", None)
    again = Path(shutil.copy(path, path.with_name("copy.gguf")))
    assert converted(path) == converted(again) == folder
    assert capsys.readouterr() == ("", "")


def test_nothing_but_the_folder_and_its_lock_stays(path: Path, own_cache: Path) -> None:
    folder = converted(path)
    assert sorted(entry.name for entry in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]
    assert "source" not in {entry.name for entry in folder.iterdir()}
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())


def test_a_changed_file_is_converted_anew(path: Path) -> None:
    first = converted(path)
    ggufs.write(path, ggufs.llama(seed=1))
    assert converted(path) != first
    assert torch.equal(logits(load(path)), logits(ggufs.llama(seed=1)))


@pytest.mark.parametrize("step", ["_model", "_tokenizer"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_conversion_leaves_nothing_and_can_be_repeated(
    path: Path, own_cache: Path, step: str, error: type[BaseException]
) -> None:
    def interrupt(*_: Any) -> Any:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, step, interrupt)
        with pytest.raises(error):
            converted(path)
    left = [entry for entry in (own_cache / "converted").iterdir() if entry.suffix != ".lock"]
    assert left == []
    assert torch.equal(logits(load(path)), logits(ggufs.llama()))


def test_what_a_killed_conversion_left_is_not_taken_and_goes(path: Path, own_cache: Path) -> None:
    folder = converted(path)
    partial = folder.rename(folder.with_name(f".{folder.name}"))
    (partial / "model.safetensors").write_bytes(b"half")
    assert torch.equal(logits(load(path)), logits(ggufs.llama()))
    assert not partial.exists()


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"half")])
def test_a_damaged_conversion_is_made_again(path: Path, damage: Any) -> None:
    damage(converted(path) / "model.safetensors")
    assert torch.equal(logits(load(path)), logits(ggufs.llama()))


def test_what_lies_beside_the_file_is_not_read(path: Path) -> None:
    folders.checkpoint(path.parent, seed=5)
    folders.edit_json(path.parent / "config.json", num_hidden_layers=1, auto_map={"AutoConfig": "evil.Config"})
    (path.parent / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.T", null]}}')
    assert torch.equal(logits(load(path)), logits(ggufs.llama()))
    tokenizer = load_tokenizer(path)
    assert tokenizer is not None
    assert len(tokenizer) == tiny.VOCAB


@pytest.mark.parametrize("missing", ["gguf", "accelerate"])
def test_a_missing_package_is_named_with_the_extra(path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(conversion, "find_spec", lambda name: None if name == missing else object())
    told = f"{path}: converting a GGUF file needs {missing}: pip install 'orchestra-lm[gguf]'."
    with pytest.raises(ModelError, match=f"^{re.escape(told)}$"):
        converted(path)


def test_a_model_that_was_converted_needs_no_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted(path)
    monkeypatch.setattr(conversion, "find_spec", lambda name: None)
    assert torch.equal(logits(load(path)), logits(ggufs.llama()))


def test_a_tensor_that_no_weight_takes_is_refused(tmp_path: Path, own_cache: Path) -> None:
    bias = {"model.layers.0.self_attn.q_proj.bias": torch.ones(28, 1)}
    path = ggufs.write(tmp_path / "m.gguf", ggufs.llama(), tensors=bias)
    told = f"{path}: its tensors do not fit its header: blk.0.attn_q.bias is left over."
    with pytest.raises(ModelError, match=f"^{re.escape(told)}$"):
        converted(path)
    assert [entry for entry in (own_cache / "converted").iterdir() if entry.suffix != ".lock"] == []


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    wrong = {"model.norm.weight": torch.ones(29)}
    path = ggufs.write(tmp_path / "m.gguf", ggufs.llama(), tensors=wrong)
    told = f"{path}: its tensors do not fit its header: model.norm.weight has shape (29,), not (28,)."
    with pytest.raises(ModelError, match=f"^{re.escape(told)}$"):
        converted(path)


def test_what_transformers_cannot_convert_is_one_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise IndexError("list index out of range")

    monkeypatch.setattr(conversion, "_tokenizer", fail)
    told = f"{path}: transformers cannot convert it: IndexError: list index out of range"
    with pytest.raises(ModelError, match=f"^{re.escape(told)}$"):
        converted(path)


def test_a_damaged_file_is_refused_before_transformers_sees_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_convert", None)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ModelError, match=r"bytes long, but its header announces \d+; fetch it again\.$"):
        converted(path)


def test_a_cache_that_cannot_be_written_is_named(path: Path, own_cache: Path) -> None:
    (own_cache / "converted").write_text("in the way")
    told = f"{path}: cannot be converted in {own_cache}/converted: File exists."
    with pytest.raises(ModelError, match=f"^{re.escape(told)}$"):
        converted(path)
