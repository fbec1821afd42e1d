"""scene(): a plan, placed. Boxes for models, rows in them for layers, an arrow per bridge; formats only paint it.

The anchor stands in the middle. Augments that feed it stand beside it, above each other; those that feed others stand
further out, on the side of what they feed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import networkx as nx

from orchestra.draw.boxes import TIP, WIDTH, Model, boxes
from orchestra.draw.lanes import Column, Path, route
from orchestra.graph import AnchorLayer, Graph, Site
from orchestra.plan import Plan
from orchestra.wiring import ANCHOR

GAP = 132.0  # between columns
MARGIN = 34.0
_BETWEEN = 30.0  # boxes of one column
_EDGE = 4.0  # of the picture and an arrow
_NOTE = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """A bridge.

    Attributes:
        gate: how far it is open; None where that is not known.
        width: of its line, in pixels.
        path: where it runs; its tip lies on from there, `tip` pixels towards what is fed.
    """

    site: Site
    colour: str
    gate: float | None
    width: float
    path: Path
    tip: float
    faded: bool

    @property
    def told(self) -> str:
        """The bridge in words."""
        return str(self.site) if self.gate is None else f"{self.site}   gate {self.gate:.2g}"

    @property
    def corners(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """Of the tip."""
        x, y = self.path.end
        half = abs(self.tip) * 0.55
        return (x + self.tip, y), (x, y - half), (x, y + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A picture, in pixels from the upper left."""

    title: str
    width: float
    height: float
    models: tuple[Model, ...]
    arrows: tuple[Arrow, ...]
    note: str


def scene(plan: Plan, gates: Mapping[Site, float] | None = None) -> Scene:
    """Place a plan.

    Args:
        gates: how far bridges are open, as a mean, of those of which it is known; the widest open is drawn thickest.
    """
    graph, known = plan.graph, gates or {}
    placed = _placed(graph, tuple(boxes(plan, _columns(graph))))
    above = max(0.0, _EDGE - min(_heights(_arrows(graph, placed, known)), default=_EDGE))
    placed = {name: _moved(box, 0, above) for name, box in placed.items()}
    arrows = tuple(_arrows(graph, placed, known))
    bottom = max(box.top + box.height for box in placed.values()) + MARGIN
    note = _note(known, len(graph.sites))
    return Scene(
        title=graph.description or "An Orchestra graph",
        width=max(box.left for box in placed.values()) + WIDTH + MARGIN,
        height=max([bottom, *(height + _EDGE for height in _heights(arrows))]) + (_NOTE if note else 0),
        models=tuple(placed[name] for name in (ANCHOR, *(node.name for node in graph.augments))),
        arrows=arrows,
        note=note,
    )


def _placed(graph: Graph, models: Sequence[Model]) -> dict[str, Model]:
    """Models in their columns, each column in the middle of the tallest."""
    stacked: dict[int, list[Model]] = {}
    for box in models:
        stacked.setdefault(box.column, []).append(box)
    tallest = max(map(_tall, stacked.values()))
    placed: dict[str, Model] = {}
    for number in sorted(sorted(stacked), key=abs):  # what is fed first: its feeders stand in its order
        top = MARGIN + (tallest - _tall(stacked[number])) / 2
        for box in sorted(stacked[number], key=lambda box: _rank(graph, box.name, placed)):
            placed[box.name] = _moved(box, MARGIN + (number - min(stacked)) * (WIDTH + GAP), top)
            top += box.height + _BETWEEN
    return placed


def _tall(column: Sequence[Model]) -> float:
    return sum(box.height + _BETWEEN for box in column) - _BETWEEN


def _heights(arrows: Iterable[Arrow]) -> Iterator[float]:
    """The upper and the lower edge of every arrow: a curve runs between the heights of its points."""
    for arrow in arrows:
        heights = [y for curve in arrow.path.curves for _, y in curve]
        yield from (min(heights) - arrow.width / 2, max(heights) + arrow.width / 2)


def _columns(graph: Graph) -> dict[str, int]:
    """The column of each model. What hangs together without the anchor stands on one side, the smaller one so far."""
    depth = {ANCHOR: 0}
    for name in reversed(graph.order):
        depth[name] = 1 + max(depth[into] for into in graph.feeds[name])
    inner = graph.wiring().to_undirected()
    inner.remove_node(ANCHOR)
    columns, sizes = {ANCHOR: 0}, {1: 0, -1: 0}
    for name in sorted(inner):
        if name not in columns:
            together = nx.node_connected_component(inner, name)
            side = 1 if sizes[1] <= sizes[-1] else -1
            columns |= {each: side * depth[each] for each in together}
            sizes[side] += sum(depth[each] == 1 for each in together)
    return columns


def _moved(box: Model, right: float, down: float) -> Model:
    rows = tuple(replace(row, top=row.top + down) for row in box.rows)
    return replace(box, left=box.left + right, top=box.top + down, rows=rows)


def _rank(graph: Graph, name: str, placed: Mapping[str, Model]) -> tuple[float, str]:
    """How low a model stands in its column: as low as what it feeds."""
    ends = [placed[site.into].row(site.anchor_layer).middle for site in graph.sites if site.augment == name]
    return (sum(ends) / len(ends) if ends else 0.0), name


def _arrows(graph: Graph, placed: Mapping[str, Model], gates: Mapping[Site, float]) -> Iterator[Arrow]:
    standing: dict[int, list[tuple[float, float]]] = {}
    for box in placed.values():
        standing.setdefault(box.column, []).append((box.top, box.top + box.height))
    columns = {
        number: Column(left=next(box.left for box in placed.values() if box.column == number), boxes=sorted(boxes))
        for number, boxes in standing.items()
    }
    most = max(map(abs, gates.values()), default=0.0) or 1.0
    ends = _ends(graph.sites, placed)
    for site in graph.sites:
        feeder, fed, gate = placed[site.augment], placed[site.into], gates.get(site)
        side = 1 if feeder.column > fed.column else -1
        width = 1.6 if gate is None else 1 + 4 * abs(gate) / most
        tip = -side * (6 + 1.3 * width)
        start = feeder.left + (0 if side > 0 else WIDTH), feeder.row(site.augment_layer).middle
        end = fed.left + (WIDTH if side > 0 else 0) - tip, ends[site]
        between = [columns[number] for number in range(feeder.column - side, fed.column, -side)]
        yield Arrow(
            site=site,
            colour=feeder.colour,
            gate=gate,
            width=width,
            path=route(start, end, between, width=WIDTH),
            tip=tip,
            faded=feeder.faded,
        )


def _ends(sites: Sequence[Site], placed: Mapping[str, Model]) -> dict[Site, float]:
    """How high each arrow ends: no two tips lie together, and what comes from above ends above."""
    found: dict[Site, float] = {}
    groups: dict[tuple[str, AnchorLayer, bool], list[Site]] = {}
    for site in sites:
        right = placed[site.augment].column > placed[site.into].column
        groups.setdefault((site.into, site.anchor_layer, right), []).append(site)
    for (into, place, _), group in groups.items():
        row = placed[into].row(place)
        group.sort(key=lambda site: placed[site.augment].row(site.augment_layer).middle)
        for index, site in enumerate(group):
            found[site] = row.middle + (index - (len(group) - 1) / 2) * min(TIP, row.height / len(group))
    return found


def _note(gates: Mapping[Site, float], num_sites: int) -> str:
    if not gates:
        return ""
    low, high = min(map(abs, gates.values())), max(map(abs, gates.values()))
    some = "" if len(gates) == num_sites else "; where it is not known, thin"
    return f"Thickness: mean gate, from {low:.2g} to {high:.2g}{some}"
