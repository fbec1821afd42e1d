"""Operators that run and bytes that they touch: the same on every machine, busy or not."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(slots=True)
class Counts:
    """What ran.

    Attributes:
        operators: by name, those that compute; those that only look at memory in another way are apart.
        bytes: read and written by operators that compute.
    """

    operators: Counter[str] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    bytes: int = 0

    @property
    def num_operators(self) -> int:
        """How many operators computed something."""
        return self.operators.total()


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.counts = Counts()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func.name())
        if func.is_view or name in ("aten::_unsafe_view", "aten::detach", "aten::alias", "aten::lift_fresh"):
            self.counts.views[name] += 1
            return result
        self.counts.operators[name] += 1
        touched = (*tree_leaves((args, kwargs)), *tree_leaves(result))
        self.counts.bytes += sum(each.nbytes for each in touched if isinstance(each, Tensor))
        return result


def count(run: Callable[[], object]) -> Counts:
    """Count what one run does."""
    watch = _Watch()
    with watch:
        run()
    return watch.counts


def step(model: Any, ids: Tensor) -> Callable[[], object]:
    """One step of decoding behind a prompt that is read now: what `generate` does at every token."""
    ones = torch.ones_like(ids)
    with torch.no_grad():
        cache = model(input_ids=ids[:, :-1], attention_mask=ones[:, :-1], use_cache=True).past_key_values

    @torch.no_grad()
    def run() -> object:
        return model(
            input_ids=ids[:, -1:], attention_mask=ones, past_key_values=cache, use_cache=True, logits_to_keep=1
        )

    return run


def alone(part: Any, ids: Tensor) -> Callable[[], object]:
    """One step of a model without a head behind a text, as `step`."""
    with torch.no_grad():
        cache = part(input_ids=ids[:, :-1], use_cache=True).past_key_values

    @torch.no_grad()
    def run() -> object:
        return part(input_ids=ids[:, -1:], past_key_values=cache, use_cache=True)

    return run


def beyond(more: Counts, fewer: Counts) -> tuple[int, int]:
    """How many operators and bytes one run takes more than another."""
    return more.num_operators - fewer.num_operators, more.bytes - fewer.bytes
