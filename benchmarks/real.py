"""The real case: SmolLM2-135M with one to three augments, each with a tokenizer of its own; `make real` fetches them.

Weights are fp32, as they were saved. Bridges are the default's: from every fourth layer of an augment, gates open.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

import orchestra
from benchmarks import toy
from orchestra import ComposedModel
from orchestra.lab.weights import fetch

ANCHOR = "smollm2"
AUGMENTS = {"tongues": "gemma3", "chat": "minimind2", "tales": "stories"}
LICENSE = Path(__file__).parents[1] / "LICENSE"
PROMPT = "Once upon a time, in a small town by the sea, there lived an old man who mended clocks for everyone who came"


def folders(count: int) -> dict[str, Path]:
    """The anchor's folder, and those of so many augments.

    Raises:
        SystemExit: one is not there.
    """
    found = {"anchor": fetch.folder(ANCHOR)}
    found |= {name: fetch.folder(model) for name, model in list(AUGMENTS.items())[:count]}
    missing = [model.name for model in found.values() if not (model / "config.json").is_file()]
    if missing:
        raise SystemExit(f"there is no {', '.join(missing)}; `make real` fetches it")
    return found


def document(places: dict[str, Path], *, dtype: str = "auto") -> dict[str, Any]:
    """The graph of models in folders."""
    return {
        "format": "orchestra/graph@1",
        "anchor": {"model": str(places["anchor"]), "dtype": dtype, "device": "cpu"},
        "augments": {
            name: {"model": str(place), "dtype": dtype, "device": "cpu", "bridges": {"every": 4}}
            for name, place in places.items()
            if name != "anchor"
        },
    }


def compose(count: int) -> ComposedModel:
    """SmolLM2 with so many augments."""
    return toy.opened(orchestra.load(document(folders(count))))


def compositions(counts: tuple[int, ...] = (1, 2, 3)) -> Iterator[tuple[str, ComposedModel]]:
    """The compositions one after another, with their names."""
    for count in counts:
        yield " + ".join(("SmolLM2", *list(AUGMENTS.values())[:count])), compose(count)


def ids(composed: ComposedModel, length: int) -> Tensor:
    """Text of so many tokens: the begin of a tale, or of a license where much is asked for."""
    tokenizer: Any = composed.tokenizer
    text = PROMPT if length <= 16 else LICENSE.read_text("utf-8")
    read: Tensor = tokenizer(text, return_tensors="pt")["input_ids"][:, :length]
    if read.shape[1] < length:
        raise SystemExit(f"the text has {read.shape[1]} tokens, and {length} are needed")
    return read
