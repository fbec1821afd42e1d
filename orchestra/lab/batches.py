"""From examples to tensors: an endless stream of batches that is the same on every run."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from orchestra.lab.expressions import Example
from orchestra.lab.tokenizer import BEGIN_ID, END_ID, PAD_ID

Draw = Callable[[random.Random, int], tuple[tuple[Any, ...], ...]]
"""Draws a row for a step, in pieces that begin with their text; early steps may be easier."""

IGNORED = -100
_POOL = 8  # batches that are drawn together and sorted by length, so that a batch holds little padding


class Batch(NamedTuple):
    """Examples as tensors ``(batch, seq)``, right-padded.

    Attributes:
        labels: `IGNORED` except for what is learnt.
        twins: the ids of each example's twin, where there are twins.
    """

    ids: Tensor
    labels: Tensor
    twins: Tensor | None = None


Encode = Callable[[Sequence[Any]], Batch]
"""Makes tensors of rows."""


def encode(tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example]) -> Batch:
    """Token ids and labels; only learnt pieces and the end have labels."""
    rows = []
    for example in examples:
        ids, labels = [BEGIN_ID], [IGNORED]
        for text, learnt in example:
            piece = tokenizer.encode(text, add_special_tokens=False)
            ids += piece
            labels += piece if learnt else [IGNORED] * len(piece)
        rows.append(([*ids, END_ID], [*labels, END_ID]))
    longest = max(len(ids) for ids, _ in rows)
    return Batch(
        torch.tensor([ids + [PAD_ID] * (longest - len(ids)) for ids, _ in rows]),
        torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in rows]),
    )


def batches(example: Draw, encode: Encode, *, size: int, seed: int, start: int) -> Iterator[Batch]:
    """Batches without end, from batch `start` on; the n-th batch is the same on every run."""
    pool, skip = start // _POOL, start % _POOL
    while True:
        rng = random.Random(f"{seed}/{pool}")
        drawn = sorted((example(rng, pool * _POOL) for _ in range(size * _POOL)), key=_length)
        order = list(range(_POOL))
        rng.shuffle(order)
        for index in order[skip:]:
            yield encode(drawn[index * size : (index + 1) * size])
        pool, skip = pool + 1, 0


def _length(row: tuple[tuple[Any, ...], ...]) -> int:
    return sum(len(piece[0]) for piece in row)
