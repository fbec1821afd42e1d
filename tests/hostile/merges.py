"""Hosted graphs of merges that nobody should trust, and repositories that nobody should merge."""

import json
from collections.abc import Callable

from orchestra import GraphError
from tests.hostile.documents import ESCAPE
from tests.hostile.repositories import TRAP, Case, Liar, added, document, graph
from tests.hubserver import Hub

MODEL = r"augments\.kv\.model\.merge\.models\.{}\.model"
EMPTY = (2).to_bytes(8, "little") + b"{}"
"""Weights without a tensor."""


def merging(*names: str, **more: object) -> Callable[[Hub], object]:
    """A graph whose augment is a merge of these models."""
    recipe = {"merge_method": "linear", "models": [{"model": name} for name in names], "parameters": {"weight": 1}}
    return graph(**{"graph.json": document(model={"merge": recipe, **more})})


def both(first: Callable[[Hub], object], second: Callable[[Hub], object]) -> Callable[[Hub], object]:
    """One after the other."""
    return lambda hub: (first(hub), second(hub))


def without_weights(hub: Hub) -> None:
    """A model of pickles alone."""
    files = hub.repositories["acme/kv"].files()
    kept = {name: content for name, content in files.items() if name != "model.safetensors"}
    hub.repositories["acme/kv"].commit({**kept, "pytorch_model.bin": TRAP})


def endless_shards(hub: Hub) -> None:
    """Weights in a hundred thousand parts."""
    without_weights(hub)
    parts = {f"w{number}": f"m-{number}.safetensors" for number in range(100_000)}
    added("acme/kv", **{"model.safetensors.index.json": json.dumps({"weight_map": parts}).encode()})(hub)


def adapter(**config: object) -> Callable[[Hub], object]:
    """An adapter whose config says more than that it is one."""
    said = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, **config}
    files = {"adapter_config.json": json.dumps(said).encode(), "adapter_model.safetensors": EMPTY, "foreign.py": TRAP}
    return lambda hub: hub.add("acme/lora", files)


MERGES: dict[str, Case] = {
    "a merge of pickles": (
        both(without_weights, merging("acme/anchor", "acme/kv")),
        GraphError,
        MODEL.format(1) + r": acme/kv: holds no model\.safetensors, only pickled weights \(pyt",
    ),
    "a merge of weights whose header announces three gigabytes": (
        both(
            added("acme/kv", **{"model.safetensors": (3 << 30).to_bytes(8, "little") + b" " * 5003}),
            merging("acme/anchor", "acme/kv"),
        ),
        GraphError,
        MODEL.format(1) + r": acme/kv: model\.safetensors is not a whole safetensors file; ",
    ),
    "a merge of weights that say they are long enough for a header of three gigabytes": (
        both(
            added("acme/kv", **{"model.safetensors": Liar((3 << 30).to_bytes(8, "little") + b" " * 5003).of(4 << 30)}),
            merging("acme/anchor", "acme/kv"),
        ),
        GraphError,
        MODEL.format(1) + r": acme/kv: model\.safetensors announces a header of 3,221,225,472 ",
    ),
    "a merge of a hundred thousand files": (
        both(endless_shards, merging("acme/anchor", "acme/kv")),
        GraphError,
        MODEL.format(1) + r": acme/kv: its index names 100,000 files; 1,000 are read at most\.",
    ),
    "a merge at a revision that leads up": (
        merging("acme/anchor", "acme/kv@../../../api/whoami-v2"),
        GraphError,
        MODEL.format(1) + r" is 'acme/kv': .* '\.\./\.\./\.\./api/whoami-v2' is no revision's",
    ),
    "a merge of a folder of this machine": (
        merging("acme/anchor", "/home/mallory/model"),
        GraphError,
        MODEL.format(1) + r" is '/home/mallory/model', which leads out of acme/duo; ",
    ),
    "a merge that takes a tokenizer of this machine": (
        merging("acme/anchor", tokenizer="/home/mallory/words"),
        GraphError,
        r"augments\.kv\.model\.tokenizer is '/home/mallory/words', which leads out of acme/duo; ",
    ),
    "a merge with an adapter of this machine": (
        merging("acme/anchor+/home/mallory/lora"),
        GraphError,
        MODEL.format(0) + r" is '/home/mallory/lora', which leads out of acme/duo; ",
    ),
    "a merge with a pickled adapter": (
        both(
            lambda hub: hub.add("acme/lora", {"adapter_config.json": b"{}", "adapter_model.bin": TRAP}),
            merging("acme/anchor+acme/lora"),
        ),
        GraphError,
        MODEL.format(0) + r": acme/lora: holds no adapter_model\.safetensors, only pickled weig",
    ),
    "a merge with an adapter that names a module": (
        both(
            adapter(megatron_config={"a": 1}, megatron_core="foreign"),
            merging("acme/anchor+acme/lora"),
        ),
        GraphError,
        MODEL.format(0) + r": .*: its adapter_config\.json has megatron_config \{\"a\": 1\}; plain",
    ),
    "a merge whose name writes to the terminal": (
        merging("acme/anchor", f"acme/kv@{ESCAPE}"),
        GraphError,
        MODEL.format(1) + r" is 'acme/kv': .* '\\x1b\]0;mine\\x07\\n' is no revision's name",
    ),
}
