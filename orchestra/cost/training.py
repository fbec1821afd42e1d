"""FLOPs of a training step: forward and backward over whole texts, without a cache.

A product costs as much again for the gradient of each of its two factors that is asked for. Attention's are asked for
where its layer's input is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestra.cost.asked import Asked
from orchestra.cost.flops import (
    asking_attention_flops,
    asking_maps_flops,
    attention_flops,
    layer_flops,
    model_flops,
    reading_flops,
)
from orchestra.cost.running import Shapes, part, read, running, sites_of
from orchestra.cost.shape import Layer, Shape
from orchestra.graph import Site
from orchestra.plan import Plan
from orchestra.wiring import ANCHOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """FLOPs of a step over one text."""

    forward: float
    backward: float

    def __add__(self, other: "Step") -> "Step":
        return Step(forward=self.forward + other.forward, backward=self.backward + other.backward)


def anchor_step(planned: Plan, shapes: Shapes, asked: Asked, *, kept: bool = False) -> Step:
    """The frozen anchor, through which gradients pass down to its lowest bridge.

    Args:
        kept: whether what is below it is read from disk.
    """
    lowest = _lowest(planned, ANCHOR)
    shape, length = shapes[ANCHOR], asked.length
    above = _passing(shape.layers[lowest + 1 :], length)
    head = 2 * length * (shape.exit + shape.head)
    forward = model_flops(shape, new=length, heads=length)
    if kept:
        forward = head + sum(layer_flops(layer, new=length, past=0) for layer in shape.layers[lowest + 1 :])
        forward += 2 * length * shape.entry
    return Step(forward=forward, backward=above + head)


def augment_step(planned: Plan, shapes: Shapes, asked: Asked, name: str, *, kept: bool = False) -> Step:
    """What an augment that runs adds to it; gradients pass through it to bridges that feed it."""
    nodes = {node.name: node for node in (planned.graph.anchor, *planned.graph.augments)}
    shape, length = part(planned, shapes, name), read(planned, asked, nodes[name])
    sites, fed = sites_of(planned, name), _feeders(planned, name)
    backward = _passing(shape.layers[_lowest(planned, name) + 1 :], length) if fed else 0.0
    step = Step(forward=0 if kept else model_flops(shape, new=length, heads=0), backward=backward)
    for site in sites:
        step += _bridge(planned, site, new=length, asks=read(planned, asked, nodes[site.into]))
    return step


def lora_step(shape: Shape, asked: Asked, rank: int) -> Step:
    """The frozen anchor with adapters of this rank beside every map of every layer."""
    length = asked.length
    adapters = sum(2 * length * rank * (each.d_in + each.d_out) for layer in shape.layers for each in layer.maps)
    forward = model_flops(shape, new=length, heads=length) + adapters
    # what reads the embeddings passes nothing down
    ends = [each for each in shape.layers[0].maps if each.first]
    spared = sum(2 * length * (each.size + rank * each.d_in) for each in ends)
    backward = _passing(shape.layers, length) + 2 * length * (shape.exit + shape.head) + 2 * adapters - spared
    return Step(forward=forward, backward=backward)


def full_step(shape: Shape, asked: Asked) -> Step:
    """A model of which every weight is trained."""
    forward = model_flops(shape, new=asked.length, heads=asked.length)
    return Step(forward=forward, backward=2 * forward)


def _passing(layers: Iterable[Layer], length: float) -> float:
    """Gradients that pass through frozen layers: of every map's input, and of both factors of attention's products."""
    return sum(2 * length * layer.num_active + 2 * attention_flops(layer, new=length, past=0) for layer in layers)


def _bridge(planned: Plan, site: Site, *, new: float, asks: float) -> Step:
    """One bridge: every weight is trained, and most inputs are asked for, be it for the norms."""
    reads = reading_flops(site, new=new, folded=False)
    maps = asking_maps_flops(site, new=asks)
    attention = asking_attention_flops(site, new=asks, keys=new)
    backward = 2 * (reads + maps + attention)
    if site.variant == "calm":
        if not _below(planned, site.augment, site.augment_layer + 1):  # a tap reads what is added there
            backward -= 2 * new * site.d_augment * site.d_anchor
        if not _below(planned, site.into, site.depth):
            backward -= 2 * asks * site.d_anchor**2
            backward -= 2 * asks * site.d_anchor if site.gate == "token" else 0
    return Step(forward=reads + maps + attention, backward=backward)


def _feeders(planned: Plan, name: str) -> list[Site]:
    """The bridges of augments that run into a model."""
    on = running(planned)
    return [site for site in planned.graph.sites if site.into == name and site.augment in on]


def _lowest(planned: Plan, name: str) -> int:
    """Behind which layer of a model the lowest of these adds; -1 for its embeddings, past all where there is none."""
    return min((site.depth for site in _feeders(planned, name)), default=10**9)


def _below(planned: Plan, name: str, layer: int) -> bool:
    """Whether what a layer returns, before anything is added to it, depends on bridges below."""
    return any(site.depth < layer for site in _feeders(planned, name))
