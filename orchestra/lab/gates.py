"""Lets only the gates of a composition learn."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from orchestra.runtime.model import ComposedModel


def gates(model: ComposedModel) -> dict[str, nn.Parameter]:
    """The gates' weights by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad and ".gate" in name}


@contextmanager
def only_gates_learn(model: ComposedModel) -> Iterator[None]:
    """Freeze every other parameter inside a block."""
    learning = gates(model)
    frozen = [weight for name, weight in model.named_parameters() if weight.requires_grad and name not in learning]
    for weight in frozen:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(True)
