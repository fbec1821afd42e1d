"""Bytes: of weights, by dtype and device, and of what caches keep."""

from dataclasses import dataclass

from orchestra.cost.asked import Asked
from orchestra.cost.running import Shapes, part, read, running, sites_of
from orchestra.cost.shape import Shape
from orchestra.graph import Node
from orchestra.plan import ELEMENT_BYTES, Plan
from orchestra.wiring import ANCHOR

BRIDGE_BYTES = ELEMENT_BYTES["float32"]
"""Of a number in a bridge: they are held as they are trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A model's weights.

    Attributes:
        counted: whether headers of its files say so; else its config's sizes do.
        shared: whether they are in memory already, under another name.
    """

    num_params: int
    num_bytes: int
    dtype: str
    device: str
    counted: bool
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What caches keep: of a token of the anchor, before any window is full, and of whole texts, all of a batch."""

    token_bytes: float
    text_bytes: float

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(token_bytes=self.token_bytes + other.token_bytes, text_bytes=self.text_bytes + other.text_bytes)


def element(node: Node, shape: Shape) -> str:
    """The dtype that a model is held in; 'auto' is its config's, else its files'."""
    if node.dtype != "auto":
        return node.dtype
    if node.facts.conversion is not None:
        return "float32"
    if shape.dtype in ELEMENT_BYTES:
        return shape.dtype
    if node.facts.num_params and node.facts.weight_bytes:
        size = round(node.facts.weight_bytes / node.facts.num_params)
        return {8: "float64", 2: "bfloat16"}.get(size, "float32")
    return "float32"


def held(planned: Plan, shapes: Shapes) -> dict[str, Held]:
    """The weights of every model, by name; a checkpoint that is named twice and held alike is there once."""
    found: dict[str, Held] = {}
    seen: set[tuple[str, str, str]] = set()
    for node in (planned.graph.anchor, *planned.graph.augments):
        dtype = element(node, shapes[node.name])
        number = node.facts.num_params or shapes[node.name].num_params
        key = (node.facts.source, dtype, node.device)
        found[node.name] = Held(
            num_params=number,
            num_bytes=0 if key in seen else number * ELEMENT_BYTES[dtype],
            dtype=dtype,
            device=node.device,
            counted=bool(node.facts.num_params),
            shared=key in seen,
        )
        seen.add(key)
    return found


def anchor_kept(planned: Plan, shapes: Shapes, asked: Asked) -> Kept:
    """The anchor's cache."""
    return _cache(shapes[ANCHOR], element(planned.graph.anchor, shapes[ANCHOR]), asked, 1, asked.length)


def augment_kept(planned: Plan, shapes: Shapes, asked: Asked, name: str) -> Kept:
    """An augment's cache, and the keys and values of its bridges."""
    if name not in running(planned):
        return Kept(token_bytes=0, text_bytes=0)
    (node,) = (node for node in planned.graph.augments if node.name == name)
    whole = read(planned, asked, node)
    each = asked.tokens(node, 1)
    bridges = sum(2 * site.d_anchor for site in sites_of(planned, name)) * BRIDGE_BYTES
    layers = _cache(part(planned, shapes, name), element(node, shapes[name]), asked, each, whole)
    return layers + Kept(token_bytes=each * bridges, text_bytes=asked.batch * whole * bridges)


def whole_kept(planned: Plan, shapes: Shapes, asked: Asked, node: Node) -> Kept:
    """The cache of an augment as a model of its own."""
    dtype = element(node, shapes[node.name])
    return _cache(shapes[node.name], dtype, asked, asked.tokens(node, 1), asked.tokens(node, asked.length))


def taps_bytes(planned: Plan, shapes: Shapes, asked: Asked) -> float:
    """What taps kept on disk take for each of the anchor's tokens."""
    on = running(planned)
    graph = planned.graph
    nodes = {node.name: node for node in graph.augments}
    tapped = {
        (site.augment, site.augment_layer): site.d_augment
        for site in graph.sites
        if site.augment in on and site.into == ANCHOR  # taps are kept where no augment that runs is fed
    }
    total = 0.0
    for (name, _), width in tapped.items():
        share = read(planned, asked, nodes[name]) / asked.length
        total += share * width * ELEMENT_BYTES[element(nodes[name], shapes[name])]
    if any(site.into == ANCHOR and site.augment in on for site in graph.sites) and _skips(planned):
        total += graph.anchor.facts.d_model * ELEMENT_BYTES[element(graph.anchor, shapes[ANCHOR])]
    return total


def _skips(planned: Plan) -> bool:
    """Whether the lowest bridge into the anchor has layers below it."""
    on = running(planned)
    return min(site.depth for site in planned.graph.sites if site.into == ANCHOR and site.augment in on) >= 0


def _cache(shape: Shape, dtype: str, asked: Asked, each: float, read: float) -> Kept:
    """Keys and values of a model that reads so many tokens of a text, `each` for one of the anchor's."""
    size = ELEMENT_BYTES[dtype]
    whole = sum(
        layer.d_kept * (read if layer.window is None else min(read, layer.window - 1)) for layer in shape.layers
    )
    return Kept(
        token_bytes=each * size * sum(layer.d_kept for layer in shape.layers), text_bytes=asked.batch * size * whole
    )
