"""A model as a box: what stands in it, and its layers row by row. Layers without bridges share a row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from orchestra.draw.words import kind, reading, short, state
from orchestra.graph import AnchorLayer, Graph, Node
from orchestra.plan import Plan
from orchestra.wiring import ANCHOR

GREY = "#768390"
COLOURS = ("#2f6fdb", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#1b7c83", "#9a6700", "#cf222e")
WIDTH = 196.0  # of a box
_PAD = 10.0  # inside a box
_ROW = 20.0
TIP = 11.0  # between the tips of two arrows at one row
_LINE = 16.0  # of text


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One or more layers of a model.

    Attributes:
        places: which; none twice in a model.
        look: solid where a bridge begins or ends, dashed where the layers are never run, else plain.
        top, height: from the upper edge of the picture.
    """

    places: tuple[AnchorLayer, ...]
    text: str
    look: str
    top: float
    height: float

    @property
    def middle(self) -> float:
        """Half way down."""
        return self.top + self.height / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A box.

    Attributes:
        lines: what stands in it above the rows, the name first.
        column: 0 is the anchor's, those to its left are below 0.
        faded: whether it does not run.
    """

    name: str
    colour: str
    lines: tuple[str, ...]
    rows: tuple[Row, ...]
    column: int
    left: float
    top: float
    height: float
    faded: bool

    def row(self, place: AnchorLayer) -> Row:
        """The row that a layer stands in."""
        return next(row for row in self.rows if place in row.places)


def boxes(plan: Plan, columns: Mapping[str, int]) -> Iterator[Model]:
    """The models, each as if it stood in the upper left corner."""
    graph = plan.graph
    yield _box(graph, graph.anchor, GREY, columns, run=graph.anchor.facts.num_layers, word="", trained="")
    for index, (node, cost) in enumerate(zip(graph.augments, plan.costs, strict=True)):
        trained = f"{cost.bridge_params:,} trained"
        run, colour = cost.layers_run, COLOURS[index % len(COLOURS)]
        yield _box(graph, node, colour, columns, run=run, word=state(cost), trained=trained)


def _box(
    graph: Graph, node: Node, colour: str, columns: Mapping[str, int], *, run: int, word: str, trained: str
) -> Model:
    facts = node.facts
    depth = f"{facts.num_layers} layer{'s' * (facts.num_layers != 1)}"
    lines = [
        short(node.name, 20) + (f" ({word})" if word else ""),
        short(kind(node), 30),
        depth + ("" if facts.num_params is None else f", {_count(facts.num_params)} parameters"),
    ]
    if trained:
        lines.append(trained)
    if node.name != ANCHOR and (node.context, node.reads) != ("refresh", "ids"):
        lines.append(f"reads {reading(node)}")
    rows = tuple(_rows(graph, node, run, columns, top=_PAD + 8 + _LINE * len(lines)))
    height = rows[0].top + rows[0].height + _PAD
    return Model(
        name=node.name,
        colour=colour,
        lines=tuple(lines),
        rows=rows,
        column=columns[node.name],
        left=0,
        top=0,
        height=height,
        faded=bool(word),
    )


def _rows(graph: Graph, node: Node, run: int, columns: Mapping[str, int], *, top: float) -> Iterator[Row]:
    """The layers of a model, the embedding first, which stands lowest."""
    fed = [site for site in graph.sites if site.into == node.name]
    read = {site.augment_layer for site in graph.sites if site.augment == node.name}
    joined: set[AnchorLayer] = {*read, *(site.anchor_layer for site in fed)}
    places: list[AnchorLayer] = ["embedding", *range(node.facts.num_layers)]
    parts = list(_parts(places, joined))
    heights = [_ROW + max(0, TIP * (_tips(graph, node, part, columns) - 2)) for part in parts]
    below = top + sum(height + 4 for height in heights) - 4
    for part, height in zip(parts, heights, strict=True):
        never = part[0] != "embedding" and part[0] >= run
        look = "never" if never else "joined" if part[0] in joined else "plain"
        yield Row(
            places=tuple(part), text=_layers(part) + " never run" * never, look=look, top=below - height, height=height
        )
        below -= height + 4


def _parts(places: Sequence[AnchorLayer], joined: set[AnchorLayer]) -> Iterator[list[AnchorLayer]]:
    """Layers row by row: what has a bridge stands alone, and so does the embedding; of others three or more share."""
    alone = {*joined, "embedding"}
    for _, group in groupby(places, lambda place: place if place in alone else None):
        part = list(group)
        yield from [part] if len(part) > 2 else [[place] for place in part]


def _tips(graph: Graph, node: Node, part: Sequence[AnchorLayer], columns: Mapping[str, int]) -> int:
    """How many arrows end at a row, on the side where they are more."""
    here = columns[node.name]
    ends = [
        columns[site.augment] > here for site in graph.sites if (site.into, site.anchor_layer) == (node.name, part[0])
    ]
    return max(ends.count(True), ends.count(False))


def _layers(part: Sequence[AnchorLayer]) -> str:
    if len(part) > 1:
        return f"layers {part[0]}\N{EN DASH}{part[-1]}"
    return "embedding" if part[0] == "embedding" else f"layer {part[0]}"


def _count(number: int) -> str:
    for size, sign in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{sign}"
    return str(number)
