"""Where an arrow runs: straight across the gap to the next column, and past boxes in between, above or below them.

Between two boxes is room for so many; above and below all of them, for any number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Point = tuple[float, float]
_CLEAR = 12.0  # between a box and an arrow that runs by
_NEXT = 6.0  # between two arrows that run by
_LEAST = 3.0  # between a box and an arrow that runs by with others


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Boxes above each other.

    Attributes:
        boxes: upper and lower edge of each, from the top.
        used: how many arrows run by at each height so far.
    """

    left: float
    boxes: Sequence[tuple[float, float]]
    used: dict[float, int] = field(default_factory=dict)

    def lane(self, wanted: float) -> float:
        """The height nearest to the one wanted at which an arrow may run by."""
        top, bottom = self.boxes[0][0] - _CLEAR, self.boxes[-1][1] + _CLEAR
        middles = [(above + below) / 2 for (_, above), (below, _) in pairwise(self.boxes) if self._room(above, below)]
        height = min([top, *middles, bottom], key=lambda one: abs(one - wanted))
        count = self.used[height] = self.used.get(height, 0) + 1
        if height in middles:
            return height + _aside(count)
        return height - (count - 1) * _NEXT if height == top else height + (count - 1) * _NEXT

    def _room(self, above: float, below: float) -> bool:
        """Whether one more arrow fits between two boxes."""
        away = _aside(self.used.get((above + below) / 2, 0) + 1)
        return abs(away) + _LEAST <= (below - above) / 2


def _aside(count: int) -> float:
    """How far the arrow of this number, counted from 1, runs from the middle between two boxes."""
    return count // 2 * (-_NEXT if count % 2 else _NEXT)


@dataclass(frozen=True, slots=True)
class Path:
    """A start, and for each curve its two control points and its end."""

    start: Point
    curves: tuple[tuple[Point, Point, Point], ...]

    @property
    def end(self) -> Point:
        """Of the last curve."""
        return self.curves[-1][2]


def route(start: Point, end: Point, between: Sequence[Column], *, width: float) -> Path:
    """From one edge of a box to another.

    Args:
        between: the columns on the way, in the order in which they are met.
        width: of every box.
    """
    curves: list[tuple[Point, Point, Point]] = []
    at = start
    for column in between:
        lane = column.lane(end[1])
        near, far = (column.left, column.left + width) if end[0] > start[0] else (column.left + width, column.left)
        curves += [_bend(at, (near, lane)), ((near, lane), (far, lane), (far, lane))]
        at = far, lane
    return Path(start, (*curves, _bend(at, end)))


def _bend(start: Point, end: Point) -> tuple[Point, Point, Point]:
    """A curve that leaves and arrives level."""
    middle = (start[0] + end[0]) / 2
    return (middle, start[1]), (middle, end[1]), end
