"""Which activations a training step keeps for its backward pass, in bytes, by where they were made.

python -m benchmarks.kept
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from benchmarks import timing, toy
from benchmarks.table import Table
from orchestra import ComposedModel


def places(composed: ComposedModel) -> dict[int, str]:
    """What each weight belongs to: an augment, a layer of the anchor, or a bridge; by the weight's identity."""
    anchor: Any = composed.anchor
    named: dict[int, str] = {id(weight): "anchor, rest" for weight in anchor.parameters()}
    for index, layer in enumerate(anchor.base_model.layers):
        named |= {id(weight): f"anchor, layer {index}" for weight in layer.parameters()}
    for name in composed.active:
        named |= {id(weight): f"augment {name}" for weight in composed.augment(name).parameters()}
        named |= {id(weight): f"bridges {name}" for weight in composed.stack(name).parameters()}
    return named


@contextmanager
def watching(composed: ComposedModel) -> Iterator[Counter[str]]:
    """Count the bytes kept inside a block; a tensor that is kept twice counts once, and weights do not."""
    named, kept, seen = places(composed), Counter[str](), set[int]()
    weights = {weight.untyped_storage().data_ptr() for weight in composed.parameters()}
    inside: list[str] = ["outside"]
    alive: list[Tensor] = []  # so that no storage is reused

    def enter(module: nn.Module, _args: Any) -> None:
        inside.append(next((named[id(weight)] for weight in module.parameters()), inside[-1]) if inside[1:] else "top")

    def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
        inside.pop()

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights | seen:
            seen.add(storage.data_ptr())
            alive.append(tensor)
            kept[inside[-1]] += storage.nbytes()
        return tensor

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield kept
    finally:
        for handle in handles:
            handle.remove()


def rows(kept: Mapping[str, int], first_site: int) -> dict[str, int]:
    """The places summed up: what must keep nothing, and what may keep something."""
    summed = dict.fromkeys(("augments", "anchor, under the first site", "anchor, above", "bridges", "rest"), 0)
    for place, amount in kept.items():
        kind, _, layer = place.partition(", layer ")
        if kind == "anchor" and layer:
            summed["anchor, under the first site" if int(layer) <= first_site else "anchor, above"] += amount
        else:
            summed[{"augment": "augments", "bridges": "bridges"}.get(place.split()[0], "rest")] += amount
    return summed


def measured(batch: int, length: int) -> dict[str, int]:
    """Bytes kept by a training step of the toy, by the kind of place."""
    composed: Any = toy.compose(toy.anchor(), toy.augments(2)).train()
    text = toy.ids(length, batch)
    with watching(composed) as kept:
        composed(input_ids=text, labels=text)
    return rows(kept, min(int(site.anchor_layer) for site in composed.plan.graph.sites))


def main() -> None:
    """Make the table."""
    told = timing.parser(__doc__).parse_args()
    timing.settle()
    table = Table("kept", "Kept for the backward pass, toy", told)
    for place, amount in measured(4, 128).items():
        none = place in ("augments", "anchor, under the first site")
        table.count(f"4 x 128 tokens: {place}", amount, "bytes", 0 if none else None)
    table.write()


if __name__ == "__main__":
    main()
