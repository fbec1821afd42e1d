"""Models in folders, and graphs of them, for what is measured from the disk."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from benchmarks import real, toy
from tests import tiny


def save(models: Mapping[str, PreTrainedModel], place: Path) -> dict[str, Path]:
    """Save each model into a folder of its own."""
    for name, model in models.items():
        model.save_pretrained(place / name)
    return {name: place / name for name in models}


def graph(folders: dict[str, Path], path: Path, *, pairs: bool = False, dtype: str = "auto") -> Path:
    """Write a graph of models in folders; with `pairs`, its bridges are few enough for models of two layers."""
    document = real.document(folders, dtype=dtype)
    if pairs:
        for augment in document["augments"].values():
            augment["bridges"] = {"pairs": [tiny.pair(0, 0)]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def warm(place: Path) -> Path:
    """A tiny graph of the kinds of models that the real case has: loading it imports what they need."""
    tiny_ones = {"anchor": tiny.model("llama", dtype=torch.float32), "g": tiny.model("gemma3", dtype=torch.float32)}
    return graph(save(tiny_ones, place / "warm"), place / "warm.json", pairs=True)


def wide(dtype: torch.dtype) -> dict[str, PreTrainedModel]:
    """The toy, four times as wide, and twice as deep in its augments: 0.9 GB in fp32."""
    made = {"anchor": toy.llama(1024, 8), "a00": toy.llama(512, 8, seed=1), "a01": toy.llama(512, 8, seed=2)}
    for model in made.values():
        nn.Module.to(model, dtype)
    return made
