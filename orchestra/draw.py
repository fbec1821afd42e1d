"""svg() and tree(): a plan as a picture. The anchor stands in the middle, augments beside it, an arrow per bridge.

Nothing behind the drawing is painted, and its greys are of middle brightness: it reads on a light and on a dark page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from orchestra.graph import AnchorLayer, Graph, Node, Site
from orchestra.plan import AugmentCost, Plan
from orchestra.wiring import ANCHOR

_BOX = (104, 24)  # width and height of a layer
_PITCH = (224, 36)  # from column to column, and from layer to layer
_HEAD = 92  # above the uppermost layer
_GREY = "#768390"
_COLOURS = ("#2f6fdb", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#1b7c83")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A model, placed.

    Attributes:
        x: its middle.
        bottom: the middle of its embedding.
        layers_run: layers from this one on are drawn as never run.
    """

    node: Node
    x: float
    bottom: float
    colour: str
    layers_run: int
    joined: frozenset[AnchorLayer]
    label: str
    state: str = ""

    def y(self, layer: AnchorLayer) -> float:
        return self.bottom - (0 if layer == "embedding" else layer + 1) * _PITCH[1]


def svg(plan: Plan) -> str:
    """Draw a plan, as the text of an SVG file.

    Layers above the highest one that an augment's bridges read are never run, and drawn so.
    """
    graph = plan.graph
    tallest = max(node.facts.num_layers for node in (graph.anchor, *graph.augments))
    places = _places(graph).values()
    sides = -min(0, *places), max(0, *places)
    width, height = (1 + sum(sides)) * _PITCH[0], _HEAD + (tallest + 1) * _PITCH[1] + 16
    anchor, *augments = _columns(plan, middle=(sides[0] + 0.5) * _PITCH[0], bottom=height - 16 - _PITCH[1] / 2)
    by_name = {column.node.name: column for column in (anchor, *augments)}
    markers = (
        f'<marker id="tip-{index}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{colour}"/></marker>'
        for index, colour in enumerate(_COLOURS)
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" font-family="system-ui, sans-serif" font-size="12" text-anchor="middle">',
            f"<title>{_text(graph.description or 'An Orchestra graph')}</title>",
            f"<defs>{''.join(markers)}</defs>",
            *(
                _arrow(site, by_name[site.augment], by_name[site.into], shift)
                for site, shift in _spread(graph.sites, by_name)
            ),
            *(line for column in (anchor, *augments) for line in _layers(column)),
            "</svg>",
            "",
        ]
    )


def tree(plan: Plan) -> str:
    """Draw a plan as text: the layers of each model that have bridges, from the bottom, and what they read."""
    graph = plan.graph
    lines = [f"anchor  {_facts(graph.anchor)}", *_branches(graph, ANCHOR)]
    for node, cost in zip(graph.augments, plan.costs, strict=True):
        lines.append(f"{node.name}  {_facts(node)}, {cost.layers_run} run, reads {reading(node)}{_comma(state(cost))}")
        lines += _branches(graph, node.name)
    return "\n".join(lines)


def state(cost: AugmentCost) -> str:
    """Why an augment does not run, in a word; nothing where it does."""
    return "" if cost.runs else "stopped" if cost.enabled else "off"


def _comma(word: str) -> str:
    return f", {word}" if word else ""


def _branches(graph: Graph, into: str) -> Iterator[str]:
    """The layers of a model that have bridges."""
    sites = [site for site in graph.sites if site.into == into]
    places = list(dict.fromkeys(site.anchor_layer for site in sites))
    for place in places:
        last = place == places[-1]
        yield f"{'└' if last else '├'}── {'embedding' if place == 'embedding' else f'layer {place}'}"
        here = [site for site in sites if site.anchor_layer == place]
        for site in here:
            branch = "└" if site == here[-1] else "├"
            yield f"{' ' if last else '│'}   {branch}── {site.augment}, layer {site.augment_layer}"


def reading(node: Node) -> str:
    """What an augment reads, in a few words."""
    if node.reads == "stream":
        return "a stream of the prompt" if node.context == "prompt" else "a stream"
    return "the prompt's ids" if node.context == "prompt" else "the anchor's ids"


def _facts(node: Node) -> str:
    facts = node.facts
    return f"{_printable(facts.model_type)}, width {facts.d_model}, {facts.num_layers} layers"


def _columns(plan: Plan, *, middle: float, bottom: float) -> Iterator[_Column]:
    """The anchor, then the augments."""
    graph, sites, places = plan.graph, plan.graph.sites, _places(plan.graph)
    yield _Column(
        node=graph.anchor,
        x=middle,
        bottom=bottom,
        colour=_GREY,
        layers_run=graph.anchor.facts.num_layers,
        joined=frozenset(site.anchor_layer for site in sites if site.into == ANCHOR),
        label=f"{graph.anchor.facts.num_layers} layers",
    )
    for index, (node, cost) in enumerate(zip(graph.augments, plan.costs, strict=True)):
        fed = {site.anchor_layer for site in sites if site.into == node.name}
        yield _Column(
            node=node,
            x=middle + places[node.name] * _PITCH[0],
            bottom=bottom,
            colour=_COLOURS[index % len(_COLOURS)],
            layers_run=cost.layers_run,
            joined=frozenset({site.augment_layer for site in sites if site.augment == node.name} | fed),
            label=f"{cost.bridge_params:,} trained parameters",
            state=state(cost),
        )


def _places(graph: Graph) -> dict[str, int]:
    """How many columns to the right of the anchor each augment stands.

    The first that feeds the anchor alone stands to its right, the second to its left, and so on outwards; one that
    feeds others stands beyond them.
    """
    depth: dict[str, int] = {ANCHOR: 0}
    for name in reversed(graph.order):
        depth[name] = 1 + max(depth[into] for into in graph.feeds[name])
    places: dict[str, int] = {}
    for name in sorted((node.name for node in graph.augments), key=lambda name: (depth[name], name)):
        left, right = (sum(place * side > 0 for place in places.values()) for side in (-1, 1))
        fed = [places[into] for into in graph.feeds[name] if into != ANCHOR]
        places[name] = right + 1 if (fed[0] > 0 if fed else right <= left) else -left - 1
    return places


def _layers(column: _Column) -> Iterator[str]:
    """A model's name and its layers, from the embedding upwards."""
    node, top = column.node, _HEAD - 30
    off = f" ({column.state})" if column.state else ""
    yield f'<g fill="{_GREY}" opacity="{0.75 if column.state else 1}">'
    yield f"<title>{_text(node.name)}</title>"
    yield _label(
        column.x, top - 34, _short(node.name, 20) + off, f'font-size="15" font-weight="bold" fill="{column.colour}"'
    )
    yield _label(column.x, top - 16, _short(f"{node.facts.model_type}, width {node.facts.d_model}", 30))
    yield _label(column.x, top, column.label)
    layers: list[AnchorLayer] = ["embedding", *range(node.facts.num_layers)]
    for layer in layers:
        run = layer == "embedding" or layer < column.layers_run
        yield _layer(column, layer, run=run)
    if node.name != "anchor" and (node.context, node.reads) != ("refresh", "ids"):
        yield _label(column.x, column.bottom + _BOX[1] / 2 + 14, f"reads {reading(node)}")
    yield "</g>"


def _layer(column: _Column, layer: AnchorLayer, *, run: bool) -> str:
    joined = layer in column.joined
    if not run:
        paint, ink, text = f'fill="none" stroke="{_GREY}" stroke-dasharray="3 3"', _GREY, f"{layer} never run"
    else:
        paint = f'fill="{column.colour}" fill-opacity="{1 if joined else 0.15}" stroke="{column.colour}"'
        ink, text = ("#ffffff" if joined else _GREY), (layer if layer == "embedding" else f"layer {layer}")
    x, y = column.x - _BOX[0] / 2, column.y(layer) - _BOX[1] / 2
    box = f'<rect x="{x:g}" y="{y:g}" width="{_BOX[0]}" height="{_BOX[1]}" rx="5" {paint}/>'
    return box + _label(column.x, column.y(layer) + 4, text, f'fill="{ink}"')


def _spread(sites: Sequence[Site], columns: Mapping[str, _Column]) -> Iterator[tuple[Site, float]]:
    """Each site, and how far from the middle of the layer that it feeds its arrow ends: no two tips lie together."""
    ends = [(site.into, site.anchor_layer, columns[site.augment].x > columns[site.into].x) for site in sites]
    for index, (site, end) in enumerate(zip(sites, ends, strict=True)):
        count = ends.count(end)
        yield site, (ends[:index].count(end) - (count - 1) / 2) * min(8, _BOX[1] / count)


def _arrow(site: Site, augment: _Column, anchor: _Column, shift: float) -> str:
    """From a layer of an augment to one of the anchor; past other columns it runs between two rows of layers."""
    side = 1 if augment.x > anchor.x else -1
    start, end = augment.x - side * _BOX[0] / 2, anchor.x + side * (_BOX[0] / 2 + 2)
    y_start, y_end = augment.y(site.augment_layer), anchor.y(site.anchor_layer) + shift
    bend = side * (_PITCH[0] - _BOX[0]) / 2
    path = f"M{start:g} {y_start:g}"
    if abs(augment.x - anchor.x) > _PITCH[0]:
        inner = anchor.x + side * (_PITCH[0] - _BOX[0] / 2)  # where the column next to the anchor begins
        outer = augment.x - side * (_PITCH[0] - _BOX[0] / 2)
        lane = anchor.y(site.anchor_layer) + (_PITCH[1] + shift) / 2
        path += f"C{start - bend:g} {y_start:g} {outer + bend:g} {lane:g} {outer:g} {lane:g}H{inner:g}"
        start, y_start = inner, lane
    path += f"C{start - bend:g} {y_start:g} {end + bend:g} {y_end:g} {end:g} {y_end:g}"
    tip = _COLOURS.index(augment.colour)
    return (
        f'<path class="bridge" d="{path}" fill="none" stroke="{augment.colour}" stroke-width="1.6"'
        f' stroke-dasharray="{"4 4" if augment.state else "none"}"'
        f' marker-end="url(#tip-{tip})"><title>{_text(str(site))}</title></path>'
    )


def _label(x: float, y: float, text: object, style: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" {style}>{_text(str(text))}</text>'


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _text(text: str) -> str:
    """Text that XML can hold: escaped, and without control characters."""
    return escape(_printable(text))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
