"""The guard: what a composition does, in operators and bytes, the same on every machine, busy or not, against ceilings.

    python -m benchmarks.quick

Exit code 1 where it does more than it did. Whoever makes the composition leaner lowers a ceiling.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks import alone, counting, kept, toy

LENGTH = 65
LOWER = {"pairs": [{"augment_layer": 1, "anchor_layer": 3}, {"augment_layer": 2, "anchor_layer": 7}]}
CEILINGS: dict[str, float] = {
    "operators that only the anchor with all augments off runs": 0,
    "operators that only the plain anchor runs": 0,
    "operators of one more augment, beyond its own forward": 54,
    "KiB of one more augment, beyond its own forward": 2404,
    "operators of the 4th augment, beyond those of the 3rd": 0,
    "bytes of the 4th augment, beyond those of the 3rd": 0,
    "operators of reading a prompt, beyond the parts": 141,
    "KiB of reading a prompt, beyond the parts": 22669,
    "bytes kept for the backward pass in augments": 0,
    "bytes kept for the backward pass in anchor layers under the first site": 0,
    "KiB kept for the backward pass in bridges": 4820,
}


def reading(model: Any, prompt: Tensor) -> Callable[[], object]:
    """Reading a prompt into a new cache."""

    @torch.no_grad()
    def run() -> object:
        return model(input_ids=prompt, use_cache=True)

    return run


def decoding() -> tuple[float, ...]:
    """The first six."""
    anchor, augments = toy.anchor(), toy.augments(4)
    counts = {}
    for number in (2, 3, 4):
        composed = toy.compose(anchor, dict(list(augments.items())[:number]))
        counts[number] = counting.count(counting.step(composed, toy.ids(LENGTH)))
    with composed.only():
        off = counting.count(lambda: toy.generate(composed, toy.ids(7), 3)).operators
    plain = counting.count(lambda: toy.generate(anchor, toy.ids(7), 3)).operators
    part = counting.count(counting.alone(alone.parts(composed)["a00"], toy.ids(LENGTH)))
    third, fourth = (counting.beyond(counts[more], counts[more - 1]) for more in (3, 4))
    return (
        (off - plain).total(),
        (plain - off).total(),
        third[0] - part.num_operators,
        (third[1] - part.bytes) / 1024,
        fourth[0] - third[0],
        fourth[1] - third[1],
    )


def prompts() -> tuple[float, ...]:
    """The next two; the augments have a layer that nothing taps."""
    composed = toy.compose(toy.anchor(), toy.augments(2), bridges=LOWER)
    models = (composed, composed.anchor, *alone.parts(composed).values())
    whole, *parts = (counting.count(reading(model, toy.ids(LENGTH))) for model in models)
    operators = whole.num_operators - sum(each.num_operators for each in parts)
    return operators, (whole.bytes - sum(each.bytes for each in parts)) / 1024


def measured() -> dict[str, float]:
    """All numbers that are guarded, by name."""
    held = kept.measured(2, LENGTH)
    keeps = held["augments"], held["anchor, under the first site"], held["bridges"] / 1024
    return dict(zip(CEILINGS, (*decoding(), *prompts(), *keeps), strict=True))


def exceeding(found: Mapping[str, float]) -> list[str]:
    """What is above its ceiling, in words."""
    return [f"{name}: {found[name]:.0f}, at most {most:.0f}" for name, most in CEILINGS.items() if found[name] > most]


def main() -> None:
    """Print the numbers, and fail where one is above its ceiling."""
    found = measured()
    for name, number in found.items():
        print(f"{name:72}{number:9.0f}   at most {CEILINGS[name]:.0f}")
    sys.exit("\n".join(exceeding(found)) or None)


if __name__ == "__main__":
    main()
