"""Compositions in which augments feed augments, in every way that their tokenizers may differ."""

from typing import Any

from orchestra import ComposedModel
from tests.mixed import anchors, characters, pieces, word_pieces
from tests.tiny import compose, model

SHAPES: dict[str, dict[str, list[str]]] = {
    "chain": {"first": ["second"], "second": ["anchor"]},
    "beside": {"first": ["second", "anchor"], "second": ["anchor"]},
    "diamond": {"first": ["second", "third"], "second": ["anchor"], "third": ["anchor"]},
}
MODELS = {"first": "qwen3", "second": "gpt2", "third": "gemma3"}

TAIL = {"tail": "provisional"}
KINDS: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {  # tokenizers, and further fields
    "ids": ({}, {}),
    "streams": ({"first": pieces(1), "second": characters(), "third": word_pieces()}, {}),
    "coarse": ({"first": characters(), "second": word_pieces(), "third": pieces(1)}, {}),
    "alike": ({"first": pieces(1), "second": pieces(1), "third": characters()}, {}),
    "feeder streams": ({"first": pieces(1), "second": anchors(), "third": anchors()}, {}),
    "fed streams": ({"first": anchors(), "second": pieces(1), "third": word_pieces()}, {}),
    "tails": (
        {"first": pieces(1), "second": characters(), "third": anchors()},
        {"first": TAIL, "second": TAIL},
    ),
    "tails alike": ({"first": pieces(1), "second": pieces(1), "third": pieces(1)}, {"first": TAIL, "second": TAIL}),
    "feeder tail": ({"first": pieces(1), "second": characters(), "third": anchors()}, {"first": TAIL}),
    "fed tail": ({"first": pieces(1), "second": word_pieces(), "third": anchors()}, {"second": TAIL}),
}
"""Of `first`, `second` and `third`; without tokenizers all read the anchor's ids."""


def deep(shape: str, kind: str = "ids", *, fresh: bool = False, anchor: str = "llama", **more: Any) -> ComposedModel:
    """A composition of that shape; `more` are further fields of its augments, by name."""
    tokenizers, fields = KINDS[kind]
    parts = {
        name: (
            model(MODELS[name], seed=index),
            {"into": into, **fields.get(name, {}), **more.get(name, {})},
        )
        for index, (name, into) in enumerate(SHAPES[shape].items(), start=1)
    }
    words = {"anchor": anchors(), **{name: tokenizers[name] for name in parts}} if tokenizers else None
    return compose(model(anchor), fresh=fresh, tokenizers=words, **parts)
