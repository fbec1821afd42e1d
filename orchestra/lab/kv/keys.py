"""The private table: 25,000 keys of 2 to 6 letters, each with an integer of its own from 1 to 25,000.

A key is written `<kqz/>`. Where its slash stands it is over, and its value's thousands are known; at its closing
bracket the rest of the value is.
"""

import random
from dataclasses import dataclass
from functools import cached_property

from orchestra.lab.table import Table


@dataclass(frozen=True)
class UniqueTable(Table):
    """A table in which no two keys share a value."""

    @cached_property
    def values(self) -> dict[str, int]:
        """The number behind each key; the order of the keys is random."""
        rng = random.Random(self.seed)
        keys = self._keys(rng)
        return dict(zip(keys, rng.sample(range(1, self.size + 1), self.size), strict=True))


def written(key: str) -> str:
    """A key as it stands in an expression."""
    return f"<{key}/>"


def halves(value: int) -> tuple[str, str]:
    """The groups of digits that are said of a value: at the key's slash, and at its closing bracket."""
    return f"{value // 1000:02d}", f"{value % 1000:03d}"
