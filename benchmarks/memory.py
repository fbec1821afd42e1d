"""Peak memory of loading and of decoding, over weights and caches.

    python -m benchmarks.memory [--real] [--new 256]

Loading: the most that a fresh process held (resident, mapped files included), beyond what it held before; beside it,
the same of the parts' own `from_pretrained`, which maps files and reads nothing yet. Decoding: the most bytes of
tensors alive at a time, weights included.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import folders, real, timing, toy
from benchmarks.table import Table
from orchestra import ComposedModel
from orchestra.runtime.cache import ComposedCache
from orchestra.stopwatch import Alive


def cached_bytes(cache: ComposedCache) -> int:
    """The keys and values of all parts."""
    parts: list[Any] = [cache, *cache.augments.values(), *cache.bridges.values()]
    return sum(t.nbytes for part in parts for layer in part.layers for t in (layer.keys, layer.values))


def decoding(table: Table, what: str, composed: ComposedModel, prompt: Tensor, new: int) -> None:
    """The row of decoding."""
    weights = sum({each.untyped_storage().data_ptr(): each.nbytes for each in composed.parameters()}.values())
    with Alive() as alive:
        written: Any = toy.generate(composed, prompt, new, return_dict_in_generate=True)
    caches = cached_bytes(written.past_key_values)
    share = (weights + alive.most) / (weights + caches)
    table.count(f"decode, {what}, {prompt.shape[1]} + {new}: peak / weights and caches", share, "ratio", 1.1)
    table.point(f"decode, {what}", weights=weights, caches=caches, peak=weights + alive.most)


def loaded(kind: str, graph: Path, warm: Path) -> dict[str, int]:
    """Bytes of the weights and of the peak, as a fresh process found them."""
    words = [sys.executable, "-m", "benchmarks.resident", kind, str(graph), str(warm)]
    settled = {**os.environ, "ORCHESTRA_CACHE": str(warm.parent / "cache")}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=settled)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def loading(table: Table, what: str, graph: Path, warm: Path) -> None:
    """The rows of loading."""
    whole, parts, words = (loaded(kind, graph, warm) for kind in ("composed", "parts", "tokenizers"))
    weights, tokens = whole["weights"], words["after"]
    table.count(f"load, {what}: peak / weights", whole["peak"] / weights, "ratio", 1.1)
    if tokens > 0.01 * weights:
        told = "peak / weights, and tokenizers as their own library holds them"
        table.count(f"load, {what}: {told}", whole["peak"] / (weights + tokens), "ratio")
    table.count(f"load, {what}: peak of the parts' own load / their weights", parts["peak"] / parts["weights"], "ratio")
    table.point(f"load, {what}", weights=weights, tokenizers=tokens, peak=whole["peak"], parts=parts["peak"])


def of_toys(table: Table, place: Path, new: int) -> None:
    """The rows that need no real models."""
    for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        saved = folders.save(folders.wide(dtype), place / name)
        loading(table, f"wide toy, {name}", folders.graph(saved, place / f"{name}.json"), folders.warm(place))
    decoding(table, "toy", toy.compose(toy.anchor(), toy.augments(2)), toy.ids(16), new)
    models = folders.wide(torch.float32)
    decoding(table, "wide toy", toy.compose(models.pop("anchor"), models), toy.ids(16), new)


def of_real(table: Table, place: Path, new: int) -> None:
    """The rows of real models."""
    for what, dtype in (("fp32", "auto"), ("fp32 files held as bf16", "bfloat16")):
        graph = folders.graph(real.folders(3), place / "real.json", dtype=dtype)
        loading(table, f"SmolLM2 + three, {what}", graph, folders.warm(place))
    for name, composed in real.compositions((2,)):
        decoding(table, name, composed, real.ids(composed, 16), new)


def main() -> None:
    """Make the table."""
    parser = timing.with_real(__doc__)
    parser.add_argument("--new", type=int, default=256, help="tokens to write")
    told = parser.parse_args()
    timing.settle()
    with tempfile.TemporaryDirectory() as place:
        if told.real:
            table = Table("memory-real", "Peak memory, real models", told)
            of_real(table, Path(place), told.new)
        else:
            table = Table("memory", "Peak memory, toys", told)
            of_toys(table, Path(place), told.new)
    table.write()


if __name__ == "__main__":
    main()
