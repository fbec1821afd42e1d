"""A tiny graph on disk: an anchor, two augments, their tokenizer, and records. The whole path from files runs."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ("<pad>", "<bos>", "<eos>", *(chr(ord("a") + index) for index in range(20)))
MAX_LENGTH = 29

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph document beside its models; no test writes here."""
    return write_graph(tmp_path_factory.mktemp("graph"))


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return tiny_tokenizer()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write records, or raw lines, as a JSONL file."""

    def write_lines(*records: Mapping[str, Any] | str, name: str = "pairs.jsonl") -> Path:
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return tmp_path / name

    return write_lines


@pytest.fixture
def pairs(write: Write) -> Path:
    """Seventeen records of different lengths: no batch size of the tests divides them."""
    return write(*records())


def records() -> list[dict[str, str]]:
    """Records whose completions repeat a word of the prompt: there is something to learn."""
    found = []
    for index in range(17):
        words = [WORDS[3 + (index * step) % 20] for step in range(1, 3 + index % 5)]
        found.append({"prompt": " ".join(words), "completion": " ".join([words[0]] * (1 + index % 3))})
    return found


def write_graph(folder: Path) -> Path:
    """Save tiny random models with one tokenizer, and the document that joins them."""
    _save(folder / "digits", width=16, heads=2, layers=3, seed=1)
    _save(folder / "kv", width=12, heads=3, layers=2, seed=2)
    _save(folder / "tetum", width=20, heads=5, layers=2, seed=3)
    document = {
        "format": "orchestra/graph@1",
        "anchor": {"model": "digits", "device": "cpu"},
        "augments": {
            "kv": {"model": "kv", "device": "cpu", "bridges": {"pairs": [_pair(0, "embedding"), _pair(1, 1)]}},
            "tetum": {"model": "tetum", "device": "cpu", "bridges": {"pairs": [_pair(1, 1)], "gate": "token"}},
        },
    }
    (folder / "graph.json").write_text(json.dumps(document), encoding="utf-8")
    return folder / "graph.json"


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Words of one letter; `<bos>` goes before a prompt."""
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<pad>"
    )


def _pair(augment_layer: int, anchor_layer: int | str) -> dict[str, int | str]:
    return {"augment_layer": augment_layer, "anchor_layer": anchor_layer}


def _save(folder: Path, *, width: int, heads: int, layers: int, seed: int) -> None:
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
