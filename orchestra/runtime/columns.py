"""What an augment with a tokenizer of its own has read of a batch, and in which columns of its caches that stands.

Rows commit at different times, so a step may bring one row two tokens and another none. A new block is filled from the
left, so that its tokens follow those before without a gap; once it is read, each row's tokens are moved to the right
again. Thus columns count tokens wherever an augment counts columns, as in a sliding window, cached or not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import DynamicCache

from orchestra.runtime.stream import Reading, Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The readings of a batch and the columns of their tokens. All tensors are on the CPU.

    Attributes:
        anchor: which columns of the anchor hold tokens.
        valid: which columns of the augment do.
        committed: index of the anchor token at which each token of the augment was committed.
    """

    readings: tuple[Reading, ...]
    anchor: Bool[Tensor, "batch anchor_seq"]
    valid: Bool[Tensor, "batch augment_seq"]
    committed: Int[Tensor, "batch augment_seq"]

    @classmethod
    def empty(cls, stream: Stream, rows: int) -> "Columns":
        """Nothing is read yet."""
        nothing = torch.zeros(rows, 0, dtype=torch.long)
        readings = tuple(Reading(stream) for _ in range(rows))
        return cls(readings=readings, anchor=nothing.bool(), valid=nothing.bool(), committed=nothing)

    @property
    def width(self) -> int:
        """How many columns the augment has."""
        return self.valid.shape[1]

    @property
    def longest(self) -> int:
        """The number of tokens of the row that has most."""
        return max((len(reading.ids) for reading in self.readings), default=0)

    def read(
        self,
        ids: Int[Tensor, "batch anchor_new"],
        valid: Bool[Tensor, "batch anchor_new"],
        *,
        cut: Sequence[int | None],
        until: Sequence[int | None],
    ) -> tuple["Columns", Int[Tensor, "batch augment_new"]]:
        """Read more tokens of the anchor; what was read before stays as it is.

        Args:
            cut: for each row, at which of its tokens the stream is cut on purpose.
            until: for each row, how many of its tokens are read at all.

        Returns:
            All columns, and the tokens of the new ones.

        Raises:
            ComposeError: the augment's tokenizer has no token for a character.
        """
        readings = tuple(reading.copy() for reading in self.readings)
        blocks = []
        rows = zip(readings, ids.cpu().tolist(), valid.cpu().tolist(), cut, until, strict=True)
        for reading, row, real, place, end in rows:
            tokens = [token for token, is_real in zip(row, real, strict=True) if is_real]
            blocks.append(_read(reading, tokens if end is None else tokens[: max(0, end - len(reading.counts))], place))
        new = [list(ids) for ids, _ in blocks]
        told = replace(
            self,
            readings=readings,
            anchor=torch.cat([self.anchor, valid.cpu()], dim=1),
            valid=torch.cat([self.valid, _block([1] * len(row) for row in new).bool()], dim=1),
            committed=torch.cat([self.committed, _block(places for _, places in blocks)], dim=1),
        )
        return told, _block(new)

    def rows(self, indices: Iterable[int]) -> "Columns":
        """These rows, each going on by itself."""
        chosen = list(indices)
        return Columns(
            readings=tuple(self.readings[index].copy() for index in chosen),
            anchor=self.anchor[chosen],
            valid=self.valid[chosen],
            committed=self.committed[chosen],
        )

    def crop(self, num_columns: int) -> "Columns":
        """Forget all but the first columns of the anchor, and what the others committed."""
        anchor = self.anchor[:, :num_columns]
        readings = tuple(reading.copy() for reading in self.readings)
        for reading, length in zip(readings, anchor.sum(-1).tolist(), strict=True):
            reading.crop(length)
        left = torch.tensor([len(reading.ids) for reading in readings])
        valid = self.valid & (self.valid.cumsum(-1) <= left[:, None])
        return replace(self, readings=readings, anchor=anchor, valid=valid)

    def packed(self) -> tuple["Columns", Int[Tensor, "batch augment_seq"] | None]:
        """Each row's tokens moved to the right, and as few columns as will do.

        Returns:
            The columns, and for each of them where it was; None where it is where it was.
        """
        if self.valid.all():
            return self, None
        order = self.valid.sort(dim=1, stable=True).indices  # padding first, tokens in their order
        order = order[:, self.width - self.longest :]
        if self.longest == self.width and order.equal(torch.arange(self.width).expand_as(order)):
            return self, None
        moved = replace(self, valid=self.valid.gather(1, order), committed=self.committed.gather(1, order))
        return moved, order


def move(cache: DynamicCache, order: Int[Tensor, "batch augment_seq"]) -> None:
    """Move the columns of a cache, as `Columns.packed` says."""
    layer: Any
    for layer in cache.layers:
        if layer.is_initialized:
            index = order.to(layer.keys.device)[:, None, :, None]
            layer.keys = layer.keys.take_along_dim(index, dim=2)
            layer.values = layer.values.take_along_dim(index, dim=2)


def _read(reading: Reading, tokens: Sequence[int], cut: int | None) -> tuple[list[int], list[int]]:
    """What more tokens of the anchor commit: tokens of the augment, and at which token of the anchor each."""
    before, known = len(reading.ids), len(reading.counts)
    reading.read(tokens, cut)
    counts = [before, *reading.counts[known:]]
    return reading.ids[before:], [
        known + index for index, (start, end) in enumerate(pairwise(counts)) for _ in range(end - start)
    ]


def _block(rows: Iterable[Sequence[int]]) -> Tensor:
    """Rows of numbers as one tensor, filled up with zeros on the right."""
    listed = list(rows)
    width = max(map(len, listed), default=0)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in listed], dtype=torch.long).view(
        len(listed), width
    )
