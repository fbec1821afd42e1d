"""What a token costs as the text grows: the composition's and the parts', from 16 to 2,048 new tokens.

python -m benchmarks.length [--new 2048] [--rounds 3]
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from torch import Tensor

from benchmarks import alone, timing, toy
from benchmarks.table import Table
from orchestra import ComposedModel

LENGTHS = (16, 64, 256, 512, 1024, 2048)
"""Where the time of a token is told: the mean of the half before it."""


class Clock:
    """Notes the time at every token; `generate` takes it for a streamer."""

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def put(self, value: object = None) -> None:
        """One more token, or the prompt."""
        self.ticks.append(time.process_time())

    def end(self) -> None:
        """The text is whole."""

    def means(self) -> dict[int, float]:
        """Milliseconds per token over the half of the new tokens before each length."""
        ends = [length for length in LENGTHS if length < len(self.ticks)]
        return {end: (self.ticks[end] - self.ticks[end // 2]) / (end - end // 2) * 1e3 for end in ends}


def generated(model: Any, prompt: Tensor, new: int) -> dict[int, float]:
    """Milliseconds per token, by the number of new tokens."""
    clock = Clock()
    toy.generate(model, prompt, new, streamer=clock)
    return clock.means()


def replayed(part: Any, blocks: list[Tensor]) -> dict[int, float]:
    """Likewise, of an augment by itself."""
    clock = Clock()
    for _ in alone.replay(part, blocks):
        clock.put()
    clock.ticks.append(clock.ticks[-1])  # the last token is written and never read
    return clock.means()


def ways(composed: ComposedModel, prompt: Tensor, new: int) -> dict[str, Callable[[], dict[int, float]]]:
    """The composition, and the sum of its parts."""
    with alone.recording(composed) as read:
        toy.generate(composed, prompt, new)
    cut = alone.parts(composed)

    def parts() -> dict[int, float]:
        each = [generated(composed.anchor, prompt, new), *(replayed(part, read[name]) for name, part in cut.items())]
        return {length: sum(means[length] for means in each) for length in each[0]}

    return {"composed": lambda: generated(composed, prompt, new), "parts": parts}


def main() -> None:
    """Make the table."""
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--new", type=int, default=max(LENGTHS), help="tokens to write")
    told = parser.parse_args()
    timing.settle()
    table = Table("length", "Decoding against length, toy", told)
    both = ways(toy.compose(toy.anchor(), toy.augments(2)), toy.ids(16), told.new)
    found: dict[str, list[dict[int, float]]] = {name: [] for name in both}
    for _ in range(told.rounds):
        for name, way in both.items():
            found[name].append(way())
    for length in found["parts"][0]:
        composed, parts = ([each[length] for each in found[name]] for name in ("composed", "parts"))
        ratios = [a / b for a, b in zip(composed, parts, strict=True)]
        table.rounds(f"tokens {length // 2} to {length}: composed / parts", ratios)
        table.point("length", new=length, composed_ms=median(composed), parts_ms=median(parts))
    table.write()


if __name__ == "__main__":
    main()
