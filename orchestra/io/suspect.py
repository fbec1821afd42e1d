"""What no honest config or tokenizer asks for, told before transformers reads it. No torch.

transformers makes lists of what a config counts, and loads the attention that a config names from the Hub; the package
tokenizers takes memory for what a tokenizer announces, and ends the process where there is none.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any

from orchestra.problems import printable, show

_COUNTS = {"layer": 10_000, "head": 10_000, "expert": 10_000, "label": 1_000_000}
"""The highest number in a field whose name holds the word."""
_CODE = re.compile(r"(attn|experts)_implementation")
_LAYERS = re.compile(r"num_hidden_layers|n_layers?|num_layers")
_FEW_LAYERS, _GROWTH = 1_000, 1_000


def why_config(config: Mapping[str, Any], num_tensors: int) -> Iterator[str]:
    """What is wrong with a config, to follow the name of its model.

    Args:
        num_tensors: how many there are in the files of the model.
    """
    counted = [value for name, value in _fields(config) if _LAYERS.fullmatch(name) and type(value) is int]
    layers = max(counted, default=0)
    if layers > max(num_tensors, _FEW_LAYERS):
        yield f"its config says that it has {show(layers)} layers, but its files hold {num_tensors} tensors."
    for name, value in _fields(config):
        limit = next((limit for word, limit in _COUNTS.items() if word in name), None)
        if _CODE.search(name):
            if not (value is None or (isinstance(value, str) and "/" not in value)):
                yield f"its config's {printable(name)} is {show(value)}, which names code of the Hub; it is never run."
        elif limit is not None and type(value) is int and value > limit and not _LAYERS.fullmatch(name):
            yield f"its config's {printable(name)} is {show(value)}; {limit:,} are allowed at most."


def why_tokenizer(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the content of a tokenizer.json, to follow its name."""
    growth = 1
    for part in _objects({name: content.get(name) for name in ("normalizer", "pre_tokenizer", "decoder")}):
        if part.get("type") == "Precompiled" and not _whole(part.get("precompiled_charsmap")):
            yield "has a damaged precompiled_charsmap; fetch or save it again."
        if part.get("type") in ("Replace", "Prepend"):
            put = part.get("content", part.get("prepend"))
            growth *= max(1, len(put)) if isinstance(put, str) else 1
    if growth > _GROWTH:
        yield f"makes a text {show(growth)} times as long; {_GROWTH:,} times are allowed at most."


def _fields(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every field of an object and of the objects in it, by its name."""
    for part in _objects(content):
        yield from part.items()


def _objects(content: object) -> Iterator[Mapping[str, Any]]:
    """Every object of a JSON value, itself among them; without recursion, as it may be deep."""
    waiting = [content]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Mapping):
            yield found
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def _whole(charsmap: object) -> bool:
    """Whether the trie of a table of characters is as long as it says; past its end tokenizers would read on."""
    if charsmap is None:
        return True
    try:
        content = base64.b64decode(str(charsmap), validate=True)
    except (binascii.Error, ValueError):
        return False
    length = int.from_bytes(content[:4], "little")
    return len(content) >= 4 and 0 < length <= len(content) - 4 and length % 4 == 0
