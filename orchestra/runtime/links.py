"""Which tokens of one augment those of another see, where it feeds it.

Both read the anchor's text, each in tokens of its own, and each of these is committed at a token of the anchor. A token
of the fed augment sees what the feeder committed at or before the token of the anchor at which it was committed itself.
So it depends on no later token of the anchor, and on nothing that a cached step does not have. Where both read the same
tokens, they correspond one by one instead, which is finer: several may be committed at once.

To a bridge the fed augment is the anchor: places count its tokens. A token of the feeder has the place of the first
that may see it, be it there or not.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from orchestra.graph import Graph, alike
from orchestra.nn.mask import Places, Sight, positions, visible
from orchestra.runtime.align import Alignment


@dataclass(frozen=True, kw_only=True)
class Link:
    """What all bridges from one augment into another share in one forward; an `Alignment` has the same.

    Attributes:
        sight: where each new token of the fed augment may look.
        places: of the feeder's new tokens.
        query_places: of the new tokens of the fed augment.
    """

    sight: Sight
    places: Places
    query_places: Places


def pairs(graph: Graph) -> dict[tuple[str, str], bool]:
    """Each augment that feeds another, and that one: whether they read streams of the same tokens."""
    nodes = {node.name: node for node in graph.augments}
    return {
        (stack.augment, stack.into): alike(nodes[stack.augment], nodes[stack.into])
        for stack in graph.stacks
        if stack.into in nodes
    }


def link(feeder: Alignment, fed: Alignment, *, same: bool, device: torch.device) -> Alignment | Link:
    """What the bridges from one augment into another need to know.

    Args:
        same: whether both read streams of the same tokens.
        device: of the fed augment.
    """
    mask: Tensor | None
    if fed.query_position is fed.committed:  # its tokens are the anchor's
        if feeder.ids.device == device:
            return feeder
        mask, places, query = feeder.mask, feeder.committed, feeder.query_position
    elif same:
        mask, places, query = _one_by_one(feeder, fed), feeder.position, fed.position
    else:
        mask, places, query = _by_commits(feeder, fed), _first_to_see(feeder, fed), fed.position
    return Link(
        sight=Sight(None if mask is None else mask.to(device), causal=mask is None and query.shape[1] > 1),
        places=Places(places.to(device)),
        query_places=Places(query.to(device)),
    )


def _one_by_one(feeder: Alignment, fed: Alignment) -> Bool[Tensor, "batch fed_new feeder_seq"]:
    valid = _new(fed)[:, :, None] & feeder.valid.bool()[:, None, :]
    if fed.branches is not None:
        return fed.branches.seen & valid
    return (positions(feeder.valid.bool())[:, None, :] <= fed.position[:, :, None]) & valid


def _by_commits(feeder: Alignment, fed: Alignment) -> Bool[Tensor, "batch fed_new feeder_seq"]:
    mask = visible(
        query_position=fed.committed,
        query_valid=_new(fed),
        key_position=_history(feeder),
        key_valid=feeder.valid.bool(),
    )
    if feeder.tail is None:
        return mask
    return mask & (~feeder.tail[:, None, :] | (_history(feeder)[:, None, :] == fed.committed[:, :, None]))


def _first_to_see(feeder: Alignment, fed: Alignment) -> Int[Tensor, "batch feeder_new"]:
    """For each new token of the feeder, how many tokens of the fed augment were committed before it."""
    lasting = fed.valid.bool() if fed.tail is None else fed.valid.bool() & ~fed.tail
    earlier = (_history(fed)[:, None, :] < feeder.committed[:, :, None]) & lasting[:, None, :]
    return earlier.sum(-1)


def _new(alignment: Alignment) -> Bool[Tensor, "batch augment_new"]:
    """Which of the new columns hold a token."""
    return alignment.valid[:, alignment.valid.shape[1] - alignment.ids.shape[1] :].bool()


def _history(alignment: Alignment) -> Int[Tensor, "batch augment_seq"]:
    """At which token of the anchor each was committed, now and before."""
    return positions(alignment.valid.bool()) if alignment.history is None else alignment.history
