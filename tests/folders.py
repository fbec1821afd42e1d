"""Model folders and bundles on disk, whole ones and damaged ones."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

import orchestra
from tests import tiny

WORDS = {f"w{index}": index for index in range(tiny.VOCAB)}
LETTERS = " abcdefghijklmnopqrstuvwxyz0123456789"
UP = "model.layers.0.mlp.up_proj.weight"
"""A weight of every tiny llama."""


def checkpoint(folder: Path, architecture: str = "llama", *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """A model folder, with a tokenizer that all of them share."""
    tiny.model(architecture, seed=seed, dtype=dtype).save_pretrained(folder)
    tokenizer(folder)
    return folder


def three(base: Path, architecture: str = "llama") -> list[Path]:
    """Three models of one shape, to be merged: `one`, `two` and `three`."""
    return [checkpoint(base / name, architecture, seed=seed) for seed, name in enumerate(("one", "two", "three"))]


def adapter(
    folder: Path, model: Path, *names: str, rank: int = 3, dtype: torch.dtype = torch.float32, **config: Any
) -> Path:
    """A LoRA adapter for these weights of every layer of a tiny llama, as peft saves it."""
    torch.manual_seed(rank)
    folder.mkdir()
    tensors = {}
    for name, weight in load_file(model / "model.safetensors").items():
        if name.endswith(names or ("q_proj.weight", "up_proj.weight")):
            wide, narrow = weight.shape[::-1] if config.get("fan_in_fan_out") else weight.shape
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            tensors[f"{stem}.lora_A.weight"] = torch.randn(rank, narrow).to(dtype)
            tensors[f"{stem}.lora_B.weight"] = torch.randn(wide, rank).to(dtype)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    said = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 5, "bias": "none"}
    said |= {"target_modules": [name.removesuffix(".weight") for name in names] or ["q_proj", "up_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps({**said, **config}))
    return folder


def tokenizer(folder: Path, words: Mapping[str, int] = WORDS, **more: str) -> None:
    """Write a tokenizer of whole words into a model folder."""
    made = Tokenizer(models.WordLevel(dict(words), unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="w0", **more).save_pretrained(folder)


def letters(folder: Path, signs: str = LETTERS) -> PreTrainedTokenizerFast:
    """Write a tokenizer of characters, which a stream can lead from and to, into a model folder."""
    made = Tokenizer(models.BPE({sign: index for index, sign in enumerate(("?", *signs))}, [], unk_token="?"))
    made.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="?", eos_token=signs[-1])
    wrapped.save_pretrained(folder)
    return wrapped


def document(**augments: Any) -> dict[str, Any]:
    """A graph of the folders `anchor` and, for each augment, its own name; a value is the augment's fields."""
    return {
        "format": "orchestra/graph@1",
        "anchor": {"model": "anchor"},
        "augments": {name: {"model": name, **rest} for name, rest in augments.items()},
    }


def graph(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a document."""
    path.write_text(json.dumps(content))
    return path


def bundle(base: Path, name: str = "kv", **recipe: Any) -> Path:
    """Write the bundle `<name>-bundle` for the folders `anchor` and `<name>`; its bridges are loud."""
    content = document(**{name: {"bridges": {"pairs": tiny.PAIRS, **recipe}}})
    composed = tiny.loud(orchestra.load(graph(base / "fresh.json", content)))
    composed.save_stack(name, base / f"{name}-bundle", recipe={"steps": 7}, scores={"accuracy": 0.5})
    return base / f"{name}-bundle"


def edit_json(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file; `...` removes one."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))


def edit_weights(path: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the tensors of a safetensors file."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def flip(path: Path, place: int) -> None:
    """Flip one bit of a byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
