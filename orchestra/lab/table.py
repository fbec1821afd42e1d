"""A private table: keys that mean nothing, and the number behind each."""

import random
import string
from dataclasses import dataclass
from functools import cached_property

from orchestra.lab.expressions import MAX_VALUE, Example

_LENGTHS = {2: 400, 3: 4600}  # there are only 676 keys of two letters; the other lengths share the rest


@dataclass(frozen=True)
class Table:
    """Keys of 2 to 6 letters, each with a number from 0 to 99.

    Attributes:
        size: number of keys.
        share_seen: the share of keys that bridges may see in training; the others are for the test.
    """

    size: int = 25_000
    share_seen: float = 0.2
    seed: int = 7

    @cached_property
    def values(self) -> dict[str, int]:
        """The number behind each key; the order of the keys is random."""
        rng = random.Random(self.seed)
        keys = self._keys(rng)
        return {key: rng.randint(0, MAX_VALUE) for key in keys}

    @cached_property
    def everything(self) -> tuple[str, ...]:
        """All keys."""
        return tuple(self.values)

    @cached_property
    def short(self) -> tuple[str, ...]:
        """The keys of two and three letters: the fewer the letters, the more a model confuses them."""
        return tuple(key for key in self.values if len(key) <= 3)

    @cached_property
    def seen(self) -> tuple[str, ...]:
        """Keys that bridges may be trained on."""
        return tuple(self.values)[: round(self.size * self.share_seen)]

    @cached_property
    def unseen(self) -> tuple[str, ...]:
        """Keys that no bridge is trained on."""
        return tuple(self.values)[round(self.size * self.share_seen) :]

    def _keys(self, rng: random.Random) -> list[str]:
        scale = self.size / 25_000
        wanted = {length: round(count * scale) for length, count in _LENGTHS.items()}
        rest = self.size - sum(wanted.values())
        wanted |= {4: rest // 3, 5: rest // 3, 6: rest - 2 * (rest // 3)}
        keys: list[str] = []
        for length, count in wanted.items():
            drawn: dict[str, None] = {}
            while len(drawn) < count:
                drawn["".join(rng.choices(string.ascii_lowercase, k=length))] = None
            keys += drawn
        rng.shuffle(keys)
        return keys


def recite(rng: random.Random, table: Table, *, short: float = 0.0) -> Example:
    """An example for the model that knows the table: keys in a row, most of them followed by their numbers.

    Args:
        short: the share of keys that are drawn from those of two and three letters alone.
    """
    size = rng.randint(1, 4)
    pieces: list[tuple[str, bool]] = []
    for index in range(size):
        key = rng.choice(table.short if short and rng.random() < short else table.everything)
        pieces.append((("" if index == 0 else rng.choice("+-")) + f"<{key}>", False))
        if index == size - 1 or rng.random() < 0.7:
            pieces.append((str(table.values[key]), True))
    return tuple(pieces)
