"""FLOPs of running a composition and of what it is held against: over a prompt, and for a token behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from orchestra.cost.asked import Asked
from orchestra.cost.flops import asking_flops, folding_flops, model_flops, reading_flops
from orchestra.cost.shape import Shape
from orchestra.graph import Node, Site
from orchestra.plan import Plan
from orchestra.wiring import ANCHOR, closed

Shapes = Mapping[str, Shape]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """For one text of a batch: of its prompt, and of a token behind it, the mean over those that are written."""

    prompt: float
    token: float

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(prompt=self.prompt + other.prompt, token=self.token + other.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Tokens that each model reads in one forward, and those that it has read before."""

    new: Mapping[str, float]
    past: Mapping[str, float]


def prompt_block(planned: Plan, asked: Asked) -> Block:
    """The forward that reads the prompt."""
    nodes = (planned.graph.anchor, *planned.graph.augments)
    return Block(
        new={node.name: asked.tokens(node, asked.prompt_length) for node in nodes},
        past=dict.fromkeys((node.name for node in nodes), 0.0),
    )


def token_block(planned: Plan, asked: Asked, past: int) -> Block:
    """The forward that reads one token of the anchor behind so many."""
    nodes = (planned.graph.anchor, *planned.graph.augments)
    ended = prompt_readers(planned)
    return Block(
        new={node.name: 0.0 if node.name in ended else asked.tokens(node, 1) for node in nodes},
        past={node.name: asked.tokens(node, asked.prompt_length if node.name in ended else past) for node in nodes},
    )


def prompt_readers(planned: Plan) -> frozenset[str]:
    """The augments that read prompts only: those of which the graph says so, and those that feed none but such."""
    told = {node.name for node in planned.graph.augments if node.context == "prompt"}
    return closed(told, planned.graph.feeds, running(planned))


def read(planned: Plan, asked: Asked, node: Node) -> float:
    """How many tokens of a whole text a model reads."""
    return asked.tokens(node, asked.prompt_length if node.name in prompt_readers(planned) else asked.length)


def anchor_flops(planned: Plan, shapes: Shapes, asked: Asked) -> Flops:
    """The anchor alone."""
    return _over(planned, shapes, asked, lambda block: _whole(shapes[ANCHOR], ANCHOR, block, heads=1))


def augment_flops(planned: Plan, shapes: Shapes, asked: Asked, name: str) -> Flops:
    """What an augment adds: its layers up to the highest that is tapped, and its bridges; nothing if it is stopped."""
    if name not in running(planned):
        return Flops(prompt=0, token=0)
    sites = sites_of(planned, name)
    shape = part(planned, shapes, name)
    found = _over(planned, shapes, asked, lambda block: _whole(shape, name, block) + _bridges(sites, block))
    folding = sum(map(folding_flops, sites)) / asked.batch
    return Flops(prompt=found.prompt + folding, token=found.token)


def lora_flops(planned: Plan, shapes: Shapes, asked: Asked, rank: int) -> Flops:
    """The anchor with adapters of this rank beside its maps."""
    adapters = 2 * rank * rank_params(shapes[ANCHOR])
    return _over(
        *(planned, shapes, asked),
        lambda block: _whole(shapes[ANCHOR], ANCHOR, block, heads=1) + adapters * block.new[ANCHOR],
    )


def whole_flops(planned: Plan, shapes: Shapes, asked: Asked, node: Node) -> Flops:
    """An augment as a model of its own, that reads the prompt and writes as much as the anchor."""

    def flops(block: Block) -> float:
        heads = 1 if block.past[ANCHOR] == 0 else asked.tokens(node, 1)
        return _whole(shapes[node.name], node.name, block, heads=heads)

    # by itself it reads what it writes, whatever it reads in the composition
    return Flops(
        prompt=flops(prompt_block(planned, asked)),
        token=_mean(planned, shapes, asked, lambda past: flops(_refreshed(asked, node, past))),
    )


def running(planned: Plan) -> frozenset[str]:
    """The augments that run."""
    return frozenset(cost.augment for cost in planned.costs if cost.runs)


def sites_of(planned: Plan, name: str) -> tuple[Site, ...]:
    """The bridges that read an augment and feed a model that runs."""
    fed = {ANCHOR, *running(planned)}
    return tuple(site for site in planned.graph.sites if site.augment == name and site.into in fed)


def part(planned: Plan, shapes: Shapes, name: str) -> Shape:
    """What of an augment is run; the cache of one that reads a stream lets go of nothing."""
    (cost,) = (cost for cost in planned.costs if cost.augment == name)
    (node,) = (node for node in planned.graph.augments if node.name == name)
    shape = shapes[name].upto(cost.layers_run)
    return shape.unwindowed() if node.reads == "stream" else shape


def rank_params(shape: Shape) -> int:
    """Numbers in adapters of rank 1 beside every map of every layer, experts left out."""
    return sum(each.d_in + each.d_out for layer in shape.layers for each in layer.maps)


def _refreshed(asked: Asked, node: Node, past: int) -> Block:
    return Block(
        new={ANCHOR: 1, node.name: asked.tokens(node, 1)}, past={ANCHOR: past, node.name: asked.tokens(node, past)}
    )


def _over(planned: Plan, shapes: Shapes, asked: Asked, flops: Callable[[Block], float]) -> Flops:
    token = _mean(planned, shapes, asked, lambda past: flops(token_block(planned, asked, past)))
    return Flops(prompt=flops(prompt_block(planned, asked)), token=token)


def _mean(planned: Plan, shapes: Shapes, asked: Asked, flops: Callable[[int], float]) -> float:
    """Over the tokens behind the prompt. As long as no window fills, each costs as much more as the one before did."""
    twice: float = 0
    ends = [end for end in _filled(planned, shapes, asked) if asked.prompt_length <= end < asked.length - 1]
    for before, last in pairwise([asked.prompt_length - 1, *ends, asked.length - 1]):
        twice += (last - before) * (flops(before + 1) + flops(last))
    return twice / (2 * asked.new_tokens)


def _filled(planned: Plan, shapes: Shapes, asked: Asked) -> list[int]:
    """The last token of the anchor before each window is full, in order."""
    found = {
        int((layer.window - 1) / asked.tokens(node, 1))
        for node in (planned.graph.anchor, *planned.graph.augments)
        for layer in shapes[node.name].layers
        if layer.window is not None
    }
    return sorted(found)


def _whole(shape: Shape, name: str, block: Block, *, heads: float = 0) -> float:
    return model_flops(shape, new=block.new[name], past=block.past[name], heads=heads)


def _bridges(sites: tuple[Site, ...], block: Block) -> float:
    """What bridges read and ask, their projections folded; folding itself is left out."""
    total = 0.0
    for site in sites:
        new = block.new[site.augment]
        keys = block.past[site.augment] + new
        total += reading_flops(site, new=new, folded=True) + asking_flops(site, new=block.new[site.into], keys=keys)
    return total
