"""How long each row's prompt is.

An augment whose context is the prompt must know before it reads; the streams of the others are cut there, where it is
known, so that a prompt's last word is read before the first token is written. It is counted in the row's own tokens,
padding left out. Somebody says so (`prompt_length`), or a cache remembers it, or `generate` knows its input, or labels
do: the prompt is what comes before the first of them. Otherwise it is unknown, and nothing is guessed.
"""

from collections.abc import Collection
from typing import NoReturn

import torch
from jaxtyping import Int
from torch import Tensor

from orchestra.errors import ComposeError
from orchestra.plan import Plan
from orchestra.runtime.cache import ComposedCache

NO_LOSS = -100
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def readers(plan: Plan, active: Collection[str]) -> tuple[str, ...]:
    """The augments, of those that are on, that read the prompt only."""
    return tuple(node.name for node in plan.graph.augments if node.context == "prompt" and node.name in active)


def settle(
    given: object,
    *,
    labels: Tensor | None,
    valid: Int[Tensor, "batch anchor_seq"],
    past: int,
    cache: ComposedCache | None,
    readers: Collection[str],
    streamed: bool = False,
) -> Int[Tensor, " batch"] | None:
    """The length of each row's prompt for one forward, remembered in the cache; None when nobody asks, or knows.

    Args:
        given: what the caller says; it comes before all else.
        valid: 1 for each token of the past and of now, 0 at padding.
        past: how many of these columns the cache holds.
        readers: the augments that need to know.
        streamed: whether a stream would be cut there, if it is known.

    Raises:
        ComposeError: it is unknown, or is not what the cached tokens were read with.
    """
    length = None if given is None else stated(given, valid)
    if length is None and (cache is None or cache.prompt_length is None):
        if labels is not None and past == 0 and (readers or streamed):
            length = _from_labels(labels, valid, readers)
        elif readers:
            _unknown(readers)
    if cache is None:
        return length
    if length is not None:
        cache.note_prompt(length, valid[:, :past].sum(-1))
    return cache.prompt_length


def stated(given: object, rows: Tensor) -> Int[Tensor, " batch"]:
    """What a caller says, checked.

    Args:
        rows: any tensor with a row per text, on the device that is wanted.

    Raises:
        ComposeError: it is not a count per row.
    """
    batch = rows.shape[0]
    if not isinstance(given, Tensor) or given.dtype not in _INTEGERS or tuple(given.shape) != (batch,):
        found = f"shape {tuple(given.shape)} and {given.dtype}" if isinstance(given, Tensor) else repr(given)
        raise ComposeError(
            f"prompt_length is {found}; it must be a tensor of integers of shape ({batch},): how many tokens, "
            "padding not counted, the prompt of each row has."
        )
    if (given < 0).any():
        raise ComposeError(f"prompt_length is {given.tolist()}; no prompt is shorter than 0.")
    return given.to(rows.device, torch.long)


def whole(ids: Tensor, attention_mask: Tensor | None) -> Int[Tensor, " batch"]:
    """The number of tokens of each row, padding not counted: the length of a prompt that is all there is."""
    return (torch.ones_like(ids) if attention_mask is None else attention_mask).to(torch.long).sum(-1)


def _from_labels(
    labels: Tensor, valid: Int[Tensor, "batch anchor_seq"], readers: Collection[str]
) -> Int[Tensor, " batch"]:
    learnt = labels.to(valid.device) != NO_LOSS
    length = (valid.bool() & (learnt.cumsum(-1) == 0)).sum(-1)
    without = ((length == 0) & learnt.any(-1)).nonzero().flatten().tolist()
    if without and readers:
        raise ComposeError(
            f"labels leave row {without[0]} no prompt, and {_names(readers)} the prompt only: set them to {NO_LOSS} "
            "over the prompt, or say prompt_length."
        )
    return length


def _unknown(readers: Collection[str]) -> NoReturn:
    raise ComposeError(
        f"{_names(readers)} the prompt only, and where it ends is unknown: pass prompt_length, the number of prompt "
        f"tokens in each row, or labels that are {NO_LOSS} over the prompt. generate knows it by itself."
    )


def _names(readers: Collection[str]) -> str:
    return f"{', '.join(readers)} {'reads' if len(readers) == 1 else 'read'}"
