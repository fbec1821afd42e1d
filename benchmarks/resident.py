"""The most memory that loading takes, resident, beyond what the process held before. Linux only; one load per process.

    python -m benchmarks.resident composed|parts|tokenizers GRAPH WARM

GRAPH and WARM are graphs; what WARM names is loaded first, so that no import is counted. Prints a line of JSON: bytes
of the weights, and the peak.
"""

import ctypes
import gc
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import orchestra

Held = tuple[Iterable[torch.Tensor], object]


def composed(document: dict[str, Any]) -> Held:
    """Load the composition."""
    model = orchestra.load(document)
    return model.parameters(), model


def parts(document: dict[str, Any]) -> Held:
    """Load each part as its own library does, one after another, and its tokenizer if it has one."""
    words = tokenizers(document)
    nodes = (document["anchor"], *document["augments"].values())
    models = [AutoModelForCausalLM.from_pretrained(each["model"], dtype=dtype(each)) for each in nodes]
    return [weight for model in models for weight in model.parameters()], (models, words)


def tokenizers(document: dict[str, Any]) -> Held:
    """Load the tokenizers only."""
    nodes = (document["anchor"], *document["augments"].values())
    return [], [
        AutoTokenizer.from_pretrained(each["model"])
        for each in nodes
        if Path(each["model"], "tokenizer.json").is_file()
    ]


def dtype(node: dict[str, Any]) -> Any:
    """The dtype that a node of a graph asks for."""
    return "auto" if node.get("dtype", "auto") == "auto" else getattr(torch, node["dtype"])


def status(field: str) -> int:
    """Bytes, as the kernel counts them for this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def peak(load: Callable[[dict[str, Any]], Held], document: dict[str, Any]) -> dict[str, int]:
    """Load, and tell how much more was resident than before, at most and afterwards."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before = status("VmRSS")
    weights, held = load(document)
    most = status("VmHWM") - before
    gc.collect()
    after = status("VmRSS") - before
    sizes = {weight.untyped_storage().data_ptr(): weight.nbytes for weight in weights}
    del held
    return {"weights": sum(sizes.values()), "peak": most, "after": after}


def main() -> None:
    """Load once, and print."""
    kind, graph, warm = sys.argv[1:]
    load = {"composed": composed, "parts": parts, "tokenizers": tokenizers}[kind]
    torch.set_num_threads(1)
    load(json.loads(Path(warm).read_text(encoding="utf-8")))
    print(json.dumps(peak(load, json.loads(Path(graph).read_text(encoding="utf-8")))))


if __name__ == "__main__":
    main()
