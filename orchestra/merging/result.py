"""The sizes of what comes of a recipe that has no problems."""

import math
from collections.abc import Mapping
from typing import Any

from orchestra.merging.document import named
from orchestra.merging.groups import SourceFacts, groups, layer_of

_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def merged_names(recipe: Mapping[str, Any]) -> list[str]:
    """The models whose weights are merged, the base model first: as mergekit is told to count them."""
    base = named(recipe.get("base_model"))
    found = [base] if base else []
    for group in groups(recipe):
        found += [one.name for one in group.inputs] + ([group.base] if group.base else [])
    return list(dict.fromkeys(found))


def num_layers(recipe: Mapping[str, Any], first: SourceFacts) -> int:
    """The layers of the result."""
    pieces = [group.inputs[0].layers for group in groups(recipe)]
    lengths = [layers[1] - layers[0] for layers in pieces if layers is not None]
    return sum(lengths) if lengths else first.num_layers


def num_params(recipe: Mapping[str, Any], facts: Mapping[str, SourceFacts], first: SourceFacts, vocab_size: int) -> int:
    """The elements of all tensors, each counted in the first model that is merged there."""
    total = 0
    for name, shape in first.shapes.items():
        if layer_of(name) is None:
            rows = (vocab_size, *shape[1:]) if shape[:1] == (first.vocab_size,) else shape
            total += math.prod(rows)
    for group in groups(recipe):
        one = group.inputs[0]
        of = facts[one.name]
        total += sum(math.prod(of.shapes[name]) for name in of.tensors(one.layers or (0, of.num_layers)))
    return total


def weight_bytes(recipe: Mapping[str, Any], first: SourceFacts, params: int) -> int:
    """The size of the result on disk."""
    dtype = recipe.get("out_dtype") or recipe.get("dtype")
    if dtype is not None:
        return params * _BYTES[dtype]
    return params * first.weight_bytes // sum(map(math.prod, first.shapes.values()))
