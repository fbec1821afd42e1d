"""Which augments are on: the rows of an ablation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from orchestra.errors import EvalError
from orchestra.runtime.model import ComposedModel

FULL, ALONE = "full composition", "anchor alone"
MOST = 64
"""The most rows that `subsets` may have: 6 augments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A set of augments that are on.

    Attributes:
        on: sorted; those that run, without augments that feed only others that are off.
    """

    name: str
    on: tuple[str, ...]


def settings(model: ComposedModel, ablate: Sequence[str] = ()) -> list[Setting]:
    """The composition as it is switched now, and what `ablate` leaves of it; each set once, under its first name.

    Args:
        ablate: `each` is without each augment, each alone, and the anchor alone; `subsets` every set there is; anything
            else names augments, separated by commas, that are off together.

    Raises:
        EvalError: an augment of that name is not there, or off already; or there are too many subsets.
    """
    on = model.active
    found: dict[tuple[str, ...], str] = {}
    rows = [(FULL, on), *(row for asked in ablate for row in _asked(on, asked))]
    for name, wanted in rows:
        with model.only(*wanted):
            found.setdefault(model.active, name if model.active else ALONE)
    return [Setting(name=name, on=running) for running, name in found.items()]


def _asked(on: tuple[str, ...], asked: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    if asked == "each":
        yield from ((f"without {name}", tuple(other for other in on if other != name)) for name in on)
        yield from ((f"{name} alone", (name,)) for name in on)
        yield ALONE, ()
    elif asked == "subsets":
        yield from _subsets(on)
    else:
        off = {name.strip() for name in asked.split(",")}
        unknown = sorted(off - set(on))
        if unknown:
            raise EvalError(f"--ablate: {unknown[0]!r} is no augment that is on; on are {', '.join(on) or 'none'}.")
        yield f"without {', '.join(sorted(off))}", tuple(name for name in on if name not in off)


def _subsets(on: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    if 2 ** len(on) > MOST:
        raise EvalError(f"--ablate subsets: {len(on)} augments have {2 ** len(on):,} subsets; at most {MOST} are run.")
    for size in range(len(on) - 1, 0, -1):
        yield from ((f"{some[0]} alone" if size == 1 else " + ".join(some), some) for some in combinations(on, size))
    yield ALONE, ()
