"""Peak memory of decoding and of loading, over weights and caches.

    python -m benchmarks.memory [--new 256]

Decoding: the most bytes of tensors alive at a time, weights included. Loading: the most that the process held
(resident), beyond the most that it held before.
"""

import resource
import tempfile
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import orchestra
from benchmarks import timing, toy
from orchestra.runtime.cache import ComposedCache


class Alive(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside and still alive.

    Attributes:
        most: the most there ever were.
    """

    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[int, int] = {}
        self.now = self.most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if not isinstance(each, Tensor):
                continue
            storage = each.untyped_storage()
            if storage._cdata not in before | self._storages.keys():
                self._storages[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._gone, storage._cdata)
        return result

    def _gone(self, key: int) -> None:
        self.now -= self._storages.pop(key)


def cached_bytes(cache: ComposedCache) -> int:
    """The keys and values of all parts."""
    parts: list[Any] = [cache, *cache.augments.values(), *cache.bridges.values()]
    return sum(t.nbytes for part in parts for layer in part.layers for t in (layer.keys, layer.values))


def decoding(new: int) -> None:
    """Print the row of decoding."""
    composed = toy.compose(toy.anchor(), toy.augments(2))
    held = {weight.untyped_storage().data_ptr(): weight.nbytes for weight in composed.parameters()}
    prompt = toy.ids(16)
    with Alive() as alive:
        written: Any = toy.generate(composed, prompt, new, return_dict_in_generate=True)
    weights, caches = sum(held.values()), cached_bytes(written.past_key_values)
    print(
        f"decode 16 + {new}: weights {weights:,}, caches {caches:,}, at the peak {alive.most - caches:,} bytes more; "
        f"{(weights + alive.most) / (weights + caches):.3f} of weights and caches   target 1.10",
        flush=True,
    )


def loading() -> None:
    """Print the row of loading."""
    with tempfile.TemporaryDirectory() as folder:
        models = {"anchor": toy.anchor(), **toy.augments(2)}
        weights = sum(weight.nbytes for model in models.values() for weight in model.parameters())
        for name, model in models.items():
            model.save_pretrained(Path(folder, name))
        augments = {name: {"model": str(Path(folder, name))} for name in models if name != "anchor"}
        document = {
            "format": "orchestra/graph@1",
            "anchor": {"model": str(Path(folder, "anchor"))},
            "augments": {name: {**each, "bridges": {"every": 2}} for name, each in augments.items()},
        }
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        composed = orchestra.load(document)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        held = sum(weight.nbytes for weight in composed.parameters())
    print(f"load: weights {weights:,} bytes, with bridges {held:,}, beyond the peak before {peak:,}", flush=True)


def main() -> None:
    """Print the table."""
    parser = timing.parser(__doc__)
    parser.add_argument("--new", type=int, default=256, help="tokens to write")
    told = parser.parse_args()
    timing.settle()
    with torch.no_grad():
        loading()
    decoding(told.new)


if __name__ == "__main__":
    main()
