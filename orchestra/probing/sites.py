"""Which bridges to train, by what the layers of an augment hold. No torch.

reads    at each kind of place, the layer from which most of the anchor's vectors is explained, or the earliest that
cannot be told from it (the 95% interval of the difference, over the same held-out texts, reaches zero).
A kind of place is left out where no layer explains anything (its interval reaches zero), or nothing
beyond what the anchor's own best state explains (likewise)
writes   the embedding, and anchor layers spread evenly from there over the lower half: what is brought needs layers
left to work with it
bridges  as many as the default has, one for each four augment layers, and one for each layer that is read at least
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestra.probing.result import LayerScore

EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One bridge."""

    augment_layer: int
    anchor_layer: int | str


def chosen(scores: Sequence[LayerScore]) -> int | None:
    """The layer to read at one kind of place, if any."""
    known = [each for each in scores if each.explained.value is not None]
    if not known:
        return None
    best = max(known, key=lambda each: each.explained.value or 0.0)
    if best.explained.low is None or best.explained.low <= 0:
        return None
    return next(int(each.layer) for each in known if each is best or each.as_good)


def propose(scores: Mapping[str, Sequence[LayerScore]], *, augment_layers: int, anchor_layers: int) -> tuple[Pair, ...]:
    """Bridges for one augment; none where nothing is told at any place.

    Args:
        scores: of its layers from the lowest, by the kind of place.
    """
    layers = sorted({layer for each in scores.values() if (layer := chosen(each)) is not None})
    count = max(1, augment_layers // EVERY, len(layers))
    depths = [index * (anchor_layers // 2) // count - 1 for index in range(count)] if layers else []
    depths = list(dict.fromkeys(depths))  # an anchor may have fewer layers than that
    pairs = [
        Pair(augment_layer=layers[index % len(layers)], anchor_layer="embedding" if depth < 0 else depth)
        for index, depth in enumerate(depths)
    ]
    left = [Pair(augment_layer=layer, anchor_layer="embedding") for layer in layers[len(depths) :]]
    return (*pairs, *left)
