"""What is read and what is written after it: one form for every row of a table."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Record:
    """A prompt, and what should be written after it."""

    prompt: str
    completion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Texts to learn from, padded on the left, so that what is learnt ends every row.

    Attributes:
        ids, valid: ``(batch, seq)``.
        prompt_length: ``(batch,)``, tokens without padding.
        learnt: the last tokens of each row, ``(batch, num_learnt)``; -100 where they are the prompt's or padding.
    """

    ids: Tensor
    valid: Tensor
    prompt_length: Tensor
    learnt: Tensor

    def to(self, device: str) -> "Batch":
        """The same batch elsewhere."""
        return Batch(**{part.name: getattr(self, part.name).to(device) for part in fields(self)})


def batches(tokenizer: PreTrainedTokenizerBase, records: Sequence[Record], *, size: int) -> list[Batch]:
    """Batches of records that are alike in length, shortest first; each completion ends with the end of the text."""
    rows = [_parts(tokenizer, record) for record in records]
    rows.sort(key=lambda row: (len(row[0]) + len(row[1]), row))
    return [_batch(rows[at : at + size], int(tokenizer.eos_token_id)) for at in range(0, len(rows), size)]


def _parts(tokenizer: PreTrainedTokenizerBase, record: Record) -> tuple[list[int], list[int]]:
    """The tokens of a prompt as a model is asked it, and those of the rest with the end."""
    prompt: list[int] = tokenizer(record.prompt)["input_ids"]
    whole: list[int] = tokenizer(record.prompt + record.completion)["input_ids"]
    rest = whole[len(prompt) :]
    if whole[: len(prompt)] != prompt:  # a token would span both
        rest = tokenizer(record.completion, add_special_tokens=False)["input_ids"]
    return prompt, [*rest, int(tokenizer.eos_token_id)]


def _batch(rows: Sequence[tuple[list[int], list[int]]], pad: int) -> Batch:
    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    learnt = max(len(completion) for _, completion in rows)
    return Batch(
        ids=torch.tensor([_left([*prompt, *completion], longest, pad) for prompt, completion in rows]),
        valid=torch.tensor([_left([1] * (len(prompt) + len(done)), longest, 0) for prompt, done in rows]),
        prompt_length=torch.tensor([len(prompt) for prompt, _ in rows]),
        learnt=torch.tensor([_left(completion, learnt, -100) for _, completion in rows]),
    )


def _left(row: list[int], length: int, fill: int) -> list[int]:
    return [fill] * (length - len(row)) + row


def alike(prompts: Sequence[str], size: int) -> list[list[int]]:
    """Indices of prompts, those that are alike in length together."""
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    return [order[at : at + size] for at in range(0, len(order), size)]
