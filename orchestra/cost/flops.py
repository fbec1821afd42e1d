"""FLOPs of forwards: those of matrix products, a product of (m, k) and (k, n) being 2mkn, as torch counts them.

Attention is counted as the rectangle of queries and keys, masked or not.
"""

from orchestra.cost.shape import Layer, Shape
from orchestra.graph import Site


def keys_seen(layer: Layer, *, new: float, past: float) -> float:
    """How many keys each of the new tokens is multiplied with."""
    held = past if layer.window is None else min(past, layer.window - 1)
    return held + new


def layer_flops(layer: Layer, *, new: float, past: float) -> float:
    """One layer."""
    return 2 * new * layer.num_active + attention_flops(layer, new=new, past=past)


def attention_flops(layer: Layer, *, new: float, past: float) -> float:
    """Queries with keys, and what comes of it with values."""
    return 4 * new * keys_seen(layer, new=new, past=past) * layer.d_attention


def model_flops(shape: Shape, *, new: float, past: float = 0, heads: float = 1) -> float:
    """A model that reads `new` tokens behind `past` others in its cache.

    Args:
        heads: at how many of them logits are made.
    """
    layers = sum(layer_flops(layer, new=new, past=past) for layer in shape.layers)
    return layers + 2 * new * (shape.entry + shape.exit) + 2 * heads * shape.head


def folds(site: Site) -> bool:
    """Whether a bridge's projection is multiplied into its keys and values while a cache is filled."""
    return site.d_augment < 2 * site.d_anchor


def folding_flops(site: Site) -> float:
    """Doing so, once for each cache."""
    return 4 * site.d_anchor**2 * site.d_augment if folds(site) else 0


def reading_flops(site: Site, *, new: float, folded: bool) -> float:
    """Keys and values of the tokens that a bridge reads."""
    if folded and folds(site):
        return 4 * new * site.d_augment * site.d_anchor
    return 2 * new * (site.d_augment * site.d_anchor + 2 * site.d_anchor**2)


def asking_flops(site: Site, *, new: float, keys: float) -> float:
    """Queries, attention, output and gate of the tokens that are fed."""
    return asking_maps_flops(site, new=new) + asking_attention_flops(site, new=new, keys=keys)


def asking_maps_flops(site: Site, *, new: float) -> float:
    """Of these, the linear maps."""
    gate = site.d_anchor if site.gate == "token" else 0
    return 2 * new * (2 * site.d_anchor**2 + gate)


def asking_attention_flops(site: Site, *, new: float, keys: float) -> float:
    """Of these, the attention."""
    return 4 * new * keys * site.d_anchor
