from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from orchestra.cost.config import shape
from orchestra.errors import ModelError
from orchestra.io.facts import model_config, model_facts
from orchestra.io.gguf_facts import CONVERSION, KINDS, is_gguf
from tests import ggufs, tiny


def refusal(path: Path, **words: Any) -> list[str]:
    with pytest.raises(ModelError) as caught:
        model_facts(ggufs.write(path, ggufs.llama(), **words))
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


def test_a_header_tells_what_a_config_and_its_weights_would(tmp_path: Path) -> None:
    model = ggufs.llama()
    model.save_pretrained(tmp_path / "folder")
    file, folder = model_facts(ggufs.write(tmp_path / "m.gguf", model)), model_facts(tmp_path / "folder")
    told = ("model_type", "num_layers", "d_model", "num_heads", "vocab_size", "num_params")
    assert [getattr(file, name) for name in told] == [getattr(folder, name) for name in told]
    assert file.source == str(tmp_path / "m.gguf")
    assert (file.conversion, folder.conversion) == (CONVERSION, None)


def test_weights_are_counted_as_the_file_holds_them(tmp_path: Path) -> None:
    one = model_facts(ggufs.write(tmp_path / "m.gguf", ggufs.llama()))
    half = model_facts(ggufs.write(tmp_path / "h.gguf", ggufs.llama(), half=True))
    assert one.num_params == half.num_params
    assert one.weight_bytes is not None
    assert half.weight_bytes is not None
    assert one.num_params == one.weight_bytes // 4
    assert one.weight_bytes * 0.5 < half.weight_bytes < one.weight_bytes * 0.6


def test_the_longest_text_is_that_of_the_header(tmp_path: Path) -> None:
    model = ggufs.llama()
    config = model_config(ggufs.write(tmp_path / "m.gguf", model))
    assert config["max_position_embeddings"] == model.config.max_position_embeddings


def test_tokenizers_are_told_apart_by_what_decides_ids(tmp_path: Path) -> None:
    def tokenizer(name: str, **words: Any) -> str | None:
        return model_facts(ggufs.write(tmp_path / name, ggufs.llama(), **words)).tokenizer

    first = tokenizer("a.gguf")
    assert first == tokenizer("b.gguf", half=True, fields={"tokenizer.chat_template": "{{ x }}"})
    assert len({first, tokenizer("c.gguf", tokens=89), tokenizer("d.gguf", fields={"tokenizer.ggml.pre": "x"})}) == 3
    assert tokenizer("e.gguf", tokenizer=False) is None
    assert tokenizer("f.gguf", tokenizer=False, fields={"tokenizer.ggml.model": "none"}) is None


PROBLEMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a part": ({"fields": {"split.count": 3}}, ["is one of 3 parts; merge them into one file first."]),
    "scaled positions": (
        {"fields": {"llama.rope.scaling.type": "yarn"}},
        [
            "scales its rotary positions (llama.rope.scaling.type 'yarn'), which the conversion would lose; "
            "use the model's own checkpoint."
        ],
    ),
    "positions with factors": (
        {"tensors": {"rope_freqs.weight": torch.ones(7)}},
        [
            "scales its rotary positions (rope_freqs.weight), which the conversion would lose; "
            "use the model's own checkpoint."
        ],
    ),
    "more tokens than embeddings": (
        {"tokens": 101},
        ["its tokenizer has 101 tokens, but its vocabulary has 97."],
    ),
}


@pytest.mark.parametrize(("words", "told"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_what_cannot_be_converted_is_refused(tmp_path: Path, words: dict[str, Any], told: list[str]) -> None:
    assert refusal(tmp_path / "m.gguf", **words) == told


def renamed(path: Path, old: str, new: str) -> Path:
    """Put one name for another of its length into a file."""
    assert len(old) == len(new)
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    return path


def test_everything_that_is_missing_is_listed(tmp_path: Path) -> None:
    path = ggufs.write(tmp_path / "m.gguf", ggufs.llama())
    for old, new in (
        ("block_count", "block_cuont"),
        ("head_count\x04", "haed_count\x04"),
        ("token_embd", "taken_embd"),
    ):
        renamed(path, old, new)
    renamed(path, "attention.head_count\x04\0\0\0\x01", "attention.head_count\x04\0\0\0\x01")
    with pytest.raises(ModelError) as caught:
        model_facts(path)
    assert str(caught.value).splitlines() == [
        f"{path}: its header has no llama.block_count.",
        f"{path}: its header has no llama.attention.head_count.",
        f"{path}: holds no token_embd.weight.",
    ]


def test_a_width_that_is_not_the_embeddings_is_refused(tmp_path: Path) -> None:
    model = ggufs.llama()
    wide = {"model.embed_tokens.weight": torch.zeros(tiny.VOCAB, 29)}
    assert refusal(tmp_path / "m.gguf", tensors=wide) == [
        f"token_embd.weight has width 29, and its header says {model.config.hidden_size}."
    ]


def test_an_architecture_that_is_not_converted_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = renamed(ggufs.write(tmp_path / "m.gguf", ggufs.llama()), "llama", "lemma")
    with pytest.raises(ModelError) as caught:
        model_facts(path)
    known = ", ".join(sorted(KINDS))
    told = f"{path}: is of the GGUF architecture 'lemma'; those that are converted: {known}."
    assert str(caught.value) == told


def test_an_architecture_with_a_running_state_is_refused_for_that(tmp_path: Path) -> None:
    path = renamed(ggufs.write(tmp_path / "m.gguf", ggufs.llama()), "llama", "mamba")
    with pytest.raises(ModelError, match=r"keeps a running state \(mamba\), which cannot go back"):
        model_facts(path)


def test_a_file_without_an_architecture_is_refused(tmp_path: Path) -> None:
    path = renamed(ggufs.write(tmp_path / "m.gguf", ggufs.llama()), "general.arch", "general.erch")
    with pytest.raises(ModelError, match=r"m.gguf: its header has no general\.architecture\.$"):
        model_facts(path)


def test_the_architectures_are_those_that_transformers_converts() -> None:
    for architecture, kind in KINDS.items():
        assert {architecture, kind} & set(GGUF_SUPPORTED_ARCHITECTURES), architecture
        assert kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def test_a_gguf_file_is_known_by_its_name() -> None:
    assert is_gguf("a/b.gguf")
    assert not is_gguf(Path("a.gguf/b"))


def test_a_header_tells_the_sizes_that_a_cost_is_reckoned_from(tmp_path: Path) -> None:
    model = ggufs.llama()
    found = shape(model_config(ggufs.write(tmp_path / "m.gguf", model)))
    plain = shape(model.config.to_dict())
    assert (found.layers, found.head, found.tied) == (plain.layers, plain.head, False)
