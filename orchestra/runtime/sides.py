"""What a bundle remembers of the two models that its stack joins: its own, and what feeds them.

An augment that others feed is what they make of it: a stack that was trained to read it so needs these bundles, and no
others. One that was trained while nobody fed it may be joined with any, as stacks into the anchor may. A stack that
adds nothing, as a fresh one, changes nobody.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping

from safetensors.torch import save

from orchestra.graph import Feed, Graph
from orchestra.io.bundle import Identity
from orchestra.nn.bridge import Bridge
from orchestra.nn.stack import Stack
from orchestra.runtime.links import alike
from orchestra.wiring import ANCHOR


def sides(
    graph: Graph, stack: Feed, identity: Callable[[str], Identity], stacks: Mapping[str, Stack]
) -> tuple[Identity, Identity]:
    """The model that a stack feeds, to which it is the anchor, and the augment that it reads.

    Args:
        identity: of each model by itself.
        stacks: by name; those that feed the augment have their weights.
    """
    fed = tuple(sorted(_fingerprints(graph, stack.augment, stacks)))
    return _anchor(graph, stack, identity), identity(stack.augment).model_copy(update={"fed": fed or None})


def _anchor(graph: Graph, stack: Feed, identity: Callable[[str], Identity]) -> Identity:
    """The model that is fed; of a stream of its own also the text that it is a stream of.

    Which of its tokens sees what depends on where both are committed, unless they correspond one by one.
    """
    own = identity(stack.into)
    if stack.into == ANCHOR:
        return own
    nodes = {node.name: node for node in graph.augments}
    fed = nodes[stack.into]
    if fed.reads == "ids" or alike(nodes[stack.augment], fed):
        return own.model_copy(update={"template": None, "tail": None})
    return own.model_copy(update={"text": identity(ANCHOR).tokenizer})


def _fingerprints(graph: Graph, augment: str, stacks: Mapping[str, Stack]) -> Iterator[str]:
    """Of the stacks that feed an augment and add something to it; those of their bundles' weights."""
    for feed in graph.stacks:
        if feed.into == augment and not all(map(silent, stacks[feed.name].bridges())):
            weights = stacks[feed.name].state_dict()
            tensors = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
            yield hashlib.sha256(save(tensors)).hexdigest()


def silent(bridge: Bridge) -> bool:
    """Whether a bridge adds exactly nothing, as a fresh one does."""
    closed = bridge.gate if bridge.site.gate == "scalar" else bridge.out.weight
    return not closed.any()
