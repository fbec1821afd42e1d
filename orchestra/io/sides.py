"""What a bundle remembers of the two models that its stack joins: its own, and what feeds them. No torch.

An augment that others feed is what they make of it: a stack that was trained to read it so needs these bundles, and no
others. One that was trained while nobody fed it may be joined with any, as stacks into the anchor may. A stack that
adds nothing, as a fresh one, changes nobody.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from orchestra.graph import Feed, Graph, Node, alike, stack_name
from orchestra.io.bundle import WEIGHTS_FILE, BundleConfig, Identity, read_weights_header
from orchestra.io.safetensors_header import all_zero
from orchestra.wiring import Feeds, behind

Digests = Mapping[str, str | None]
"""SHA-256 of the weights of each stack's bundle, by the stack's name; None of one that adds nothing."""


def fed(feeds: Feeds, augment: str, digests: Digests, on: Collection[str] | None = None) -> tuple[str, ...] | None:
    """The bundles that feed an augment, by whatever path, and add something to it; None where there are none.

    Args:
        digests: those that are not there are not counted.
        on: the augments that run; default: all.
    """
    if on is not None:
        feeds = {name: targets for name, targets in feeds.items() if name in {*on, augment}}
    found = {digests.get(stack_name(*pair)) for pair in behind(feeds, augment)}
    return tuple(sorted(filter(None, found))) or None


def met(
    trained: tuple[str, ...] | None, feeds: Feeds, augment: str, digests: Digests, on: Collection[str]
) -> tuple[str, ...] | None:
    """What feeds an augment, for a bundle that was trained while these did.

    Of those that are off in the graph it does not matter whether they were off then.
    """
    least, most = (set(fed(feeds, augment, digests, some) or ()) for some in (on, None))
    return trained if trained and least <= set(trained) <= most else fed(feeds, augment, digests)


def sides(
    graph: Graph, stack: Feed, identity: Callable[[str], Identity], fed_by: tuple[str, ...] | None
) -> tuple[Identity, Identity]:
    """The model that a stack feeds, to which it is the anchor, and the augment that it reads.

    Args:
        identity: of each model by itself.
        fed_by: what feeds the augment.
    """
    nodes = {node.name: node for node in graph.augments}
    feeder, into, text = nodes[stack.augment], nodes.get(stack.into), graph.anchor.facts.tokenizer
    anchor = anchor_side(identity(stack.into), feeder, into, text)
    return anchor, identity(stack.augment).model_copy(update={"fed": fed_by})


def anchor_side(own: Identity, feeder: Node, into: Node | None, text: str | None) -> Identity:
    """The model that a stack feeds; of a stream of its own also the text that it is a stream of.

    Which of its tokens sees what depends on where both are committed, unless they correspond one by one.

    Args:
        own: the model by itself.
        into: the augment that is fed; None for the anchor.
        text: SHA-256 of the anchor's tokenizer.
    """
    if into is None:
        return own
    if into.reads == "ids" or alike(feeder, into):
        return own.model_copy(update={"template": None, "tail": None})
    return own.model_copy(update={"text": text})


def digest(folder: Path, config: BundleConfig) -> str | None:
    """What a bundle counts as where it feeds an augment.

    Raises:
        BundleError: its weights are missing or damaged.
        ModelError: they cannot be read.
    """
    header = read_weights_header(folder)
    closed = (f"{site.key}.gate" if site.gate == "scalar" else f"{site.key}.out.weight" for site in config.placed(""))
    silent = all(all_zero(folder / WEIGHTS_FILE, header, name) for name in closed)
    return None if silent else config.weights_sha256
