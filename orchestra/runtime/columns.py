"""What an augment with a tokenizer of its own has read of a batch, and in which columns of its caches that stands.

Rows commit at different times, so a step may bring one row two tokens and another none. A new block is filled from the
left, so that its tokens follow those before without a gap; once it is read, each row's tokens are moved to the right
again. Thus columns count tokens wherever an augment counts columns, as in a sliding window, cached or not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import DynamicCache

from orchestra.runtime.stream import Reading, Stream


class Block(NamedTuple):
    """What an augment reads in one step: first what is committed, then what is held at each token, if it is shown.

    Attributes:
        ids: its tokens, 0 at padding.
        valid: ``False`` at padding.
        position: the place of each token in its row; what is held stands where it would if it were committed.
        tail: ``True`` at what is held.
    """

    ids: Int[Tensor, "batch augment_new"]
    valid: Bool[Tensor, "batch augment_new"]
    position: Int[Tensor, "batch augment_new"]
    tail: Bool[Tensor, "batch augment_new"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The readings of a batch and the columns of their tokens. All tensors are on the CPU.

    Attributes:
        anchor: which columns of the anchor hold tokens.
        valid: which columns of the augment hold what is committed; others are forgotten.
        committed: index of the anchor token at which each token of the augment was committed, or is held.
        reach: the number of positions that the longest row took so far.
    """

    readings: tuple[Reading, ...]
    anchor: Bool[Tensor, "batch anchor_seq"]
    valid: Bool[Tensor, "batch augment_seq"]
    committed: Int[Tensor, "batch augment_seq"]
    reach: int = 0

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
    ) -> tuple["Columns", Block]:
        """Read more tokens of the anchor; what was read before stays as it is.

        Args:
            cut: for each row, at which of its tokens the stream is cut on purpose.
            until: for each row, how many of its tokens are read at all.

        Returns:
            All columns, and the new ones.

        Raises:
            ComposeError: the augment's tokenizer has no token for a character.
        """
        readings = tuple(reading.copy() for reading in self.readings)
        new, tails = [], []
        rows = zip(readings, ids.cpu().tolist(), valid.cpu().tolist(), cut, until, strict=True)
        for reading, row, real, place, end in rows:
            tokens = [token for token, is_real in zip(row, real, strict=True) if is_real]
            known = len(reading.counts)
            new.append(_read(reading, tokens if end is None else tokens[: max(0, end - known)], place))
            tails.append(_tail(reading, known) if reading.provisional else [])
        first, last = _tensors(new), _tensors(tails)
        joined = _Cells(*(torch.cat(pair, dim=1) for pair in zip(first, last, strict=True)))
        is_tail = torch.cat([torch.zeros_like(first.valid), torch.ones_like(last.valid)], dim=1).bool()
        real = joined.valid.bool()
        told = Columns(
            readings=readings,
            anchor=torch.cat([self.anchor, valid.cpu()], dim=1),
            valid=torch.cat([self.valid, real & ~is_tail], dim=1),
            committed=torch.cat([self.committed, joined.committed], dim=1),
            reach=max(self.reach, int(joined.position.max()) + 1 if joined.position.numel() else 0),
        )
        return told, Block(joined.ids, real, joined.position, is_tail)

    def rows(self, indices: Iterable[int]) -> "Columns":
        """These rows, each going on by itself."""
        chosen = list(indices)
        return replace(
            self,
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
        return replace(self, readings=readings, anchor=anchor, valid=valid, reach=int(left.max()))

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
        if layer.is_initialized and not order.shape[1]:  # rows without a column transformers would not repeat
            layer.keys, layer.values, layer.is_initialized = None, None, False
        elif layer.is_initialized:
            index = order.to(layer.keys.device)
            rows = torch.arange(index.shape[0], device=index.device)[:, None]
            # Whole heads at a time: take_along_dim would look up a place for every number.
            layer.keys = layer.keys.transpose(1, 2)[rows, index].transpose(1, 2)
            layer.values = layer.values.transpose(1, 2)[rows, index].transpose(1, 2)


class _Cell(NamedTuple):
    """A token of an augment: its place in its row, and the token of the anchor at which it was committed or is held."""

    id: int
    position: int
    committed: int
    valid: int = 1


class _Cells(NamedTuple):
    """The same as tensors, in the order of a cell's fields."""

    ids: Tensor
    position: Tensor
    committed: Tensor
    valid: Tensor


def _read(reading: Reading, tokens: Sequence[int], cut: int | None) -> list[_Cell]:
    """What more tokens of the anchor commit."""
    before, known = len(reading.ids), len(reading.counts)
    reading.read(tokens, cut)
    counts = [before, *reading.counts[known:]]
    return [
        _Cell(reading.ids[place], place, known + index)
        for index, (start, end) in enumerate(pairwise(counts))
        for place in range(start, end)
    ]


def _tail(reading: Reading, known: int) -> list[_Cell]:
    """What is held at each token of the anchor from `known` on."""
    return [
        _Cell(token, reading.counts[index] + offset, index)
        for index in range(known, len(reading.counts))
        for offset, token in enumerate(reading.tail(index))
    ]


def _tensors(rows: Sequence[Sequence[_Cell]]) -> _Cells:
    """Rows of cells as tensors, filled up with zeros on the right."""
    width = max(map(len, rows), default=0)
    filled = [[*row, *[_Cell(0, 0, 0, valid=0)] * (width - len(row))] for row in rows]
    fields = torch.tensor(filled, dtype=torch.long).view(len(rows), width, len(_Cell._fields))
    return _Cells(*fields.unbind(-1))
