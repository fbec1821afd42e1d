"""Which records a process reads when: a pure function of seed, epoch and step, whatever the number of processes.

A step sees the same records whether they come in one batch, in several accumulated ones, or in those of several
processes. Where an epoch does not fill its last step, the rest is padding that carries no loss: no record is seen
twice in an epoch, and none is dropped.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from orchestra.train.encode import Example

PADDING = -1
"""Index of the record that is none."""
NO_LOSS = -100


class Examples(Dataset[Example]):
    """The examples of a file, and at `PADDING` one without loss."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        if index == PADDING:
            return Example(ids=self._examples[0].ids[:1], num_prompt=1)
        return self._examples[index]


class EpochBatches(Sampler[list[int]]):
    """The batches of one process in one epoch, as lists of indices.

    Args:
        batch_size: records per process and forward.
        accumulation: forwards per step.
        rank, world_size: which process this is, of how many.
    """

    def __init__(
        self, num_examples: int, *, batch_size: int, accumulation: int, rank: int, world_size: int, seed: int
    ) -> None:
        self._num_examples = num_examples
        self._batch_size = batch_size
        self._accumulation = accumulation
        self._rank = rank
        self._world_size = world_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of records of an epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._accumulation * steps_per_epoch(
            self._num_examples, self._batch_size * self._accumulation * self._world_size
        )

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        stride = self._batch_size * self._world_size
        for start in range(self._rank * self._batch_size, len(order), stride):
            yield order[start : start + self._batch_size]

    def _order(self) -> list[int]:
        digest = hashlib.sha256(f"{self._seed}/{self._epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
        order: list[int] = torch.randperm(self._num_examples, generator=generator).tolist()
        filled = len(self) * self._batch_size * self._world_size
        return order + [PADDING] * (filled - len(order))


class EpochLoader(DataLoader[Any]):
    """A loader over `EpochBatches` that passes the epoch on, as the `Trainer` expects it to."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of records of an epoch."""
        if isinstance(self.batch_sampler, EpochBatches):
            self.batch_sampler.set_epoch(epoch)


def steps_per_epoch(num_examples: int, global_batch: int) -> int:
    """How many steps see every record once."""
    return math.ceil(num_examples / global_batch)


def collate(examples: Sequence[Example], pad_id: int) -> dict[str, Tensor]:
    """A batch, padded on the right.

    Returns:
        `input_ids`, `attention_mask` and `labels`, each ``(batch, seq)``; labels are -100 where there is no loss.
    """
    width = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), width), pad_id)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, NO_LOSS)
    for row, example in enumerate(examples):
        length = len(example.ids)
        ids[row, :length] = torch.tensor(example.ids)
        mask[row, :length] = 1
        labels[row, example.num_prompt : length] = ids[row, example.num_prompt : length]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
