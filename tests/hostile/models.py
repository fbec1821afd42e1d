"""Model folders and GGUF files that are hostile."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from orchestra import GraphError, ModelError
from tests import folders, ggufs
from tests.hostile.cases import Case, Cases, edited, first, linked, loading, model, recipe, safetensors, sparse
from tests.hostile.documents import ESCAPE
from tests.tiny import PAIRS

CONFIG, WEIGHTS, INDEX = "kv/config.json", "kv/model.safetensors", "kv/model.safetensors.index.json"
ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
FRESH = recipe(bridges={"pairs": PAIRS})


def config(**changes: Any) -> Callable[[Path], object]:
    """A model whose config says this, with fresh bridges."""

    def build(base: Path) -> None:
        FRESH(base)
        folders.edit_json(base / CONFIG, **changes)

    return build


def gpt2(**changes: Any) -> Callable[[Path], object]:
    """Another architecture, likewise."""

    def build(base: Path) -> None:
        folders.checkpoint(base / "kv", "gpt2")
        config(**changes)(base)

    return build


def piped(name: str) -> Callable[[Path], object]:
    """A pipe in a file's place."""

    def build(base: Path) -> None:
        (base / name).unlink()
        os.mkfifo(base / name)

    return build


def sharded(names: dict[str, str]) -> Callable[[Path], object]:
    """An index that names these shards, and no other weights."""

    def build(base: Path) -> None:
        (base / WEIGHTS).unlink()
        (base / INDEX).write_text(json.dumps({"weight_map": names}))

    return build


class Trap:
    """Leaves a mark in the working directory when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("sprung",)


def pickled(name: str) -> Callable[[Path], object]:
    """A pickle in place of the weights."""

    def build(base: Path) -> None:
        (base / WEIGHTS).unlink()
        (base / "kv" / name).write_bytes(pickle.dumps(Trap()))

    return build


def zipped(base: Path) -> None:
    with zipfile.ZipFile(base / WEIGHTS, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))


def own_code(base: Path) -> None:
    """A model of an unknown type that names its code, and would trust itself."""
    (base / "kv" / "foreign.py").write_text(f"open({str(base / 'sprung')!r}, 'w')\n")
    code = {"AutoConfig": "foreign.C", "AutoModelForCausalLM": "foreign.M"}
    config(model_type="foreign", auto_map=code, trust_remote_code=True)(base)


def remote_code(base: Path) -> None:
    code = {"AutoConfig": "mallory/kv--foreign.C", "AutoModelForCausalLM": "mallory/kv--foreign.M"}
    config(model_type="foreign", auto_map=code, trust_remote_code=True)(base)


def adapter(base: Path) -> None:
    """A folder that is an adapter of somebody's model."""
    FRESH(base)
    (base / "kv" / "adapter_config.json").write_text('{"base_model_name_or_path": "mallory/kv", "peft_type": "LORA"}')


def header(content: str | dict[str, Any], data: int = 24, **more: Any) -> Callable[[Path], object]:
    """Weights with this header."""
    return lambda base: safetensors(base / WEIGHTS, content, data, **more)


def gguf(**more: Any) -> Callable[[Path], object]:
    """A GGUF file as no converter would write it."""

    def build(base: Path) -> None:
        ggufs.write(base / "kv.gguf", ggufs.llama(), **more)
        recipe(model="kv.gguf", bridges={"pairs": PAIRS})(base)

    return build


def patched(old: bytes, new: bytes) -> Callable[[Path], object]:
    """A GGUF file with some bytes exchanged for as many others."""

    def build(base: Path) -> None:
        gguf()(base)
        content = (base / "kv.gguf").read_bytes()
        assert content.count(old) == 1
        assert len(old) == len(new)
        (base / "kv.gguf").write_bytes(content.replace(old, new))

    return build


def number(key: str, value: int) -> bytes:
    """A field of a GGUF file that holds a number."""
    return key.encode() + struct.pack("<II", 4, value)


def five_million(base: Path) -> None:
    """A GGUF file with an array of more elements than any vocabulary has."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 0, 5_000_000)
    sparse(base / "kv.gguf", len(head) + 5_000_000 + 64, head)
    recipe(model="kv.gguf")(base)


def no_gguf(told: str, build: Callable[[Path], object]) -> Case:
    """A GGUF file that is refused on paper."""

    def both(base: Path) -> None:
        recipe(model="kv.gguf")(base)
        build(base)

    return Case(build=both, kind=GraphError, told=f"augments.kv.model{told}")


def converting(told: str, build: Callable[[Path], object]) -> Case:
    """A GGUF file that is refused while it is converted."""
    return Case(build=build, kind=ModelError, told=f"{{base}}/kv.gguf: {told}")


NO_FILE = "cannot be read: it is a pipe, a socket or a device, and no file."
NOT_WHOLE = "/model.safetensors: is not a whole safetensors file; fetch or save it again."
DAMAGED = "/model.safetensors: has a damaged safetensors header; fetch or save it again."
CANNOT = ": transformers cannot load it: "

MODELS: Cases = {
    "a config of a terabyte": model(
        "/config.json: cannot be read: it is 1,000,000,000,000 bytes long, and 32,000,000 are read at most.",
        lambda base: sparse(base / CONFIG, 10**12),
    ),
    "a config that is a pipe": model(f"/config.json: {NO_FILE}", piped(CONFIG)),
    "a config that never ends": model(f"/config.json: {NO_FILE}", lambda base: linked(base / CONFIG, "/dev/zero")),
    "a billion layers": model(
        ": its config says that it has 1000000000 layers, but its files hold", config(num_hidden_layers=10**9)
    ),
    "a billion layers deeper down": model(
        ": its config says that it has 1000000000 layers, but its files hold",
        config(text_config={"model_type": "qwen3", "num_hidden_layers": 10**9}),
    ),
    "layers of a thousand digits": model(
        ": its config says that it has 1000000000", config(num_hidden_layers=10**1000)
    ),
    "a trillion labels": model(
        ": its config's num_labels is 1000000000000; 1,000,000 are allowed at most.", config(num_labels=10**12)
    ),
    "a billion experts": model(
        ": its config's num_local_experts is 1000000000; 10,000 are allowed at most.", config(num_local_experts=10**9)
    ),
    "a hundred thousand heads": model(
        ": its config's num_key_value_heads is 100000; 10,000 are allowed at most.",
        config(num_key_value_heads=10**5),
    ),
    "a width of a million": model(
        ": its config says that its width is 1000000, but its files hold",
        config(hidden_size=10**6, num_attention_heads=2, head_dim=2),
    ),
    "a vocabulary of a billion": loading(": its config asks for ", config(vocab_size=10**9)),
    "inner layers of a billion": loading(": its config asks for ", config(intermediate_size=10**9)),
    "heads of a billion numbers": model(
        ": its config's head_dim is 1000000000; 10,000 are allowed at most.", config(head_dim=10**9)
    ),
    "a billion positions": loading(": its config asks for ", gpt2(n_positions=10**9)),
    "a width of ten to the thirty": model(": its config says that its width is 1000000000", config(hidden_size=10**30)),
    "heads of no width": loading(f"{CANNOT}ZeroDivisionError", config(head_dim=0)),
    "no heads for keys": loading(f"{CANNOT}ZeroDivisionError", config(num_key_value_heads=0)),
    "padding past the vocabulary": loading(f"{CANNOT}AssertionError", config(pad_token_id=10**9)),
    "attention from the Hub": model(
        ': its config\'s attn_implementation is "mallory/kernel", which names code of the Hub; it is never run.',
        config(attn_implementation="mallory/kernel"),
    ),
    "attention from the Hub, set from inside": model(
        ': its config\'s _attn_implementation is "mallory/kernel:f", which names code of the Hub; it is never run.',
        config(_attn_implementation="mallory/kernel:f"),
    ),
    "attention from the Hub, by part": model(
        ': its config\'s attn_implementation is {"": "mallory/kernel"}, which names code of the Hub; it is never run.',
        config(attn_implementation={"": "mallory/kernel"}),
    ),
    "experts from the Hub": model(
        ': its config\'s experts_implementation is "mallory/kernel", which names code of the Hub; it is never run.',
        config(experts_implementation="mallory/kernel"),
    ),
    "code of its own": loading(
        ": its model type 'foreign' needs code of its own (auto_map), which is never run.", own_code
    ),
    "code of somebody's": loading(
        ": its model type 'foreign' needs code of its own (auto_map), which is never run.", remote_code
    ),
    "an adapter of somebody's model": model(": holds an adapter (adapter_config.json); merge it", adapter),
    "a type that writes to the terminal": model(": its config has no model_type.", config(model_type=ESCAPE)),
    "a dtype that writes to the terminal": loading(
        f"{CANNOT}AttributeError: module 'torch' has no attribute '\\u001b]0;mine\\u0007", config(dtype=ESCAPE)
    ),
    "a quantizer of somebody's": loading(
        CANNOT, config(quantization_config={"quant_method": "mallory", "load_in_8bit": True})
    ),
    "a million beams": loading(
        ": its generation_config has num_beams 1000000; 1000 are allowed.",
        first(FRESH, edited("kv/generation_config.json", num_beams=10**6)),
    ),
    "a generation_config of a terabyte": loading(
        "/generation_config.json: cannot be read: it is 1,000,000,000,000 bytes long, and 100,000,000 are read at",
        first(FRESH, lambda base: sparse(base / "kv" / "generation_config.json", 10**12)),
    ),
    "a hundred thousand shards": model(
        ": holds no s0.safetensors, s1.safetensors, s10.safetensors and 99997 more, though",
        sharded({f"w{index}": f"s{index}.safetensors" for index in range(100_000)}),
    ),
    "a shard that writes to the terminal": model(
        ": holds no \\u001b]0;mine\\u0007\\n, though model.safetensors.index.json names it.", sharded({"w": ESCAPE})
    ),
    "a shard in the folder above": model(
        "/model.safetensors.index.json: names a shard outside its folder: '../anchor/model.safetensors'.",
        sharded({"w": "../anchor/model.safetensors"}),
    ),
    "only a pickle that does something": model(
        ": holds only pickled weights (pytorch_model.bin), which are never loaded", pickled("pytorch_model.bin")
    ),
    "a pickle under the name of safetensors": model(NOT_WHOLE, pickled("model.safetensors")),
    "an archive that unpacks to more": model(NOT_WHOLE, zipped),
    "weights that are a pipe": model(": holds no model.safetensors.", piped(WEIGHTS)),
    "weights that never end": model(": holds no model.safetensors.", lambda base: linked(base / WEIGHTS, "/dev/zero")),
    "a shape whose product overflows": model(
        DAMAGED, header({"a": {**ENTRY, "shape": [1 << 32, 1 << 32, 6], "data_offsets": [0, 24]}})
    ),
    "offsets past the end": model(
        "/model.safetensors: is 117 bytes long, but its header announces 4398046511197",
        header({"a": {**ENTRY, "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
    ),
    "packed numbers that write to the terminal": model(
        ": \\u001b]0;mine\\u0007\\nweight holds I32, and no quantization_config in its config says how to read that",
        header({f"{ESCAPE}weight": {**ENTRY, "dtype": "I32"}} | {"b": {**ENTRY, "data_offsets": [24, 48]}}, 48),
    ),
    "a GGUF file of two billion layers": no_gguf(
        ": {base}/kv.gguf: its config says that it has 2147483648 layers, but its files hold",
        patched(number("llama.block_count", 3), number("llama.block_count", 1 << 31)),
    ),
    "a GGUF file of two billion heads": no_gguf(
        ": {base}/kv.gguf: its config's num_attention_heads is 2147483648; 10,000 are allowed at most.",
        patched(number("llama.attention.head_count", 2), number("llama.attention.head_count", 1 << 31)),
    ),
    "a GGUF file of two billion inner numbers": converting(
        "its config asks for ",
        patched(number("llama.feed_forward_length", 29), number("llama.feed_forward_length", 1 << 31)),
    ),
    "a GGUF file with five million numbers in a row": no_gguf(
        ": {base}/kv.gguf: is not a whole GGUF file; fetch or save it again.", five_million
    ),
    "a GGUF file with positions that write to the terminal": no_gguf(
        ": {base}/kv.gguf: scales its rotary positions (rope_freqs\\u001b]0;mine\\u0007\\n), which",
        gguf(tensors={f"rope_freqs{ESCAPE}": torch.ones(7)}),
    ),
    "a GGUF file that is an archive": no_gguf(
        ": {base}/kv.gguf: is not a GGUF file; fetch or save it again.",
        lambda base: zipfile.ZipFile(base / "kv.gguf", "w").close(),
    ),
    "a GGUF file that is a pipe": no_gguf(
        " is 'kv.gguf', but there is no file {base}/kv.gguf.", lambda base: os.mkfifo(base / "kv.gguf")
    ),
    "a GGUF file that never ends": no_gguf(
        " is 'kv.gguf', but there is no file /dev/zero.", lambda base: (base / "kv.gguf").symlink_to("/dev/zero")
    ),
}
