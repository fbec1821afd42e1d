"""Compositions of which one augment reads the prompt only, and texts with prompts of different lengths."""

from typing import Any

import torch

from orchestra import ComposedModel
from tests.tiny import ARCHITECTURES, compose, model

PROMPT = {"context": "prompt"}
LENGTHS = torch.tensor([7, 2, 5])
"""Prompts that end at different columns of `tiny.ragged`."""


def mixed(index: int, *, fresh: bool = False, **near: Any) -> ComposedModel:
    """A graph whose augment near reads the prompt only; together they have each architecture once in each place."""
    first, second, third = (ARCHITECTURES[(index + step) % 8] for step in (0, 1, 3))
    fields = {**PROMPT, **near}
    return compose(model(first), fresh=fresh, near=(model(second, seed=1), fields), far=model(third, seed=2))
