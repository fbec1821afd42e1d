"""FLOPs as torch counts them, and what Orchestra reckons for the same composition."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from orchestra import ComposedModel
from orchestra.cost.config import shape
from orchestra.cost.running import Shapes
from tests.tiny import tokens

PROMPT = 13
"""Tokens that are read at once: more than every window has."""


def count(run: Callable[[], object]) -> int:
    """FLOPs of matrix products; those of attention are seen only where it is made of such products."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return int(counter.get_total_flops())


def shapes(composed: ComposedModel) -> Shapes:
    """What the configs of a composition's models say."""
    names = [node.name for node in composed.plan.graph.augments]
    models = {"anchor": composed.anchor, **{name: composed.augment(name) for name in names}}
    return {name: shape(model.config.to_dict()) for name, model in models.items()}


def read(model: Any, *, rows: int = 1, steps: int = 3, length: int = PROMPT, **words: Any) -> tuple[int, list[int]]:
    """FLOPs of a prompt, and of each token that is read one by one behind it."""
    ids, box, each = tokens(rows, length + steps, seed=3), [], []

    def step(start: int, stop: int, cache: Any, **said: Any) -> int:
        return count(
            lambda: box.append(
                model(ids[:, start:stop], past_key_values=cache, use_cache=True, logits_to_keep=1, **said)
            )
        )

    with torch.no_grad():
        prompt = step(0, length, None, **words)
        for index in range(length, length + steps):
            each.append(step(index, index + 1, box[-1].past_key_values))
    return prompt, each


def trained(model: Any, *, rows: int = 1, length: int = PROMPT, **words: Any) -> tuple[int, int]:
    """FLOPs of the forward and the backward of a training step."""
    ids, box = tokens(rows, length, seed=4), []
    forward = count(lambda: box.append(model(ids, labels=ids, use_cache=False, **words)))
    return forward, count(lambda: box[0].loss.backward())
