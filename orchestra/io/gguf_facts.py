"""What a GGUF file says of its model, in the words of a config.json. No torch, no transformers, no package for GGUF."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestra.errors import ModelError
from orchestra.io.gguf_header import Array, GgufHeader, read_gguf
from orchestra.problems import printable

CONVERSION = "gguf@1"
"""How a GGUF file becomes tensors. Raised when a file would give others than before: older bundles are then refused."""

KINDS = {
    "bloom": "bloom",
    "falcon": "falcon",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "gpt2": "gpt2",
    "llama": "llama",
    "mamba": "mamba",
    "nemotron": "nemotron",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen2moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "stablelm": "stablelm",
    "starcoder2": "starcoder2",
}
"""transformers' model type, by GGUF's architecture: those that it converts tensor by tensor."""

_SIZES = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "num_attention_heads": "attention.head_count",
}
_MORE_SIZES = {
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "intermediate_size": "feed_forward_length",
    "sliding_window": "attention.sliding_window",
    "num_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
    "shared_expert_intermediate_size": "expert_shared_feed_forward_length",
}
"""What only a cost is reckoned from."""
_TOKENIZER = [
    *("model", "pre", "tokens", "token_type", "scores", "merges", "add_bos_token", "add_eos_token"),
    *("add_space_prefix", "bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"),
    *("precompiled_charsmap", "remove_extra_whitespaces", "escape_whitespaces"),
]
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


def is_gguf(source: str | Path) -> bool:
    """Whether a model's source is a GGUF file, by its name."""
    return str(source).endswith(".gguf")


def gguf_config(path: Path, header: GgufHeader | None = None) -> dict[str, Any]:
    """The sizes of a GGUF file's model, called as a config.json calls them.

    Args:
        header: the file's, where it was read already.

    Raises:
        ModelError: the file is damaged or one of several parts, its architecture is not converted, or the conversion
            would lose something that the model needs; every problem is listed.
    """
    header = header or read_gguf(path)
    architecture = header.fields.get("general.architecture")
    if not isinstance(architecture, str):
        raise ModelError(f"{path}: its header has no general.architecture.")
    if architecture not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise ModelError(f"{path}: is of the GGUF architecture {architecture!r}; those that are converted: {known}.")
    problems = list(_problems(header, architecture))
    if problems:
        raise ModelError.listing(f"{path}: {problem}" for problem in problems)
    config: dict[str, Any] = {
        "model_type": KINDS[architecture],
        **{name: header.fields.get(f"{architecture}.{key}") for name, key in _SIZES.items()},
        "vocab_size": header.shapes[_EMBEDDING][0],
    }
    more = {"max_position_embeddings": "context_length", **_MORE_SIZES}
    said = {name: header.fields.get(f"{architecture}.{key}") for name, key in more.items()}
    tied = {"tie_word_embeddings": _HEAD not in header.shapes}
    return {**config, **tied, **{name: value for name, value in said.items() if isinstance(value, int)}}


def gguf_tokenizer(header: GgufHeader) -> str | None:
    """SHA-256 of what decides the ids of a text; None where the file has no tokenizer."""
    parts = {name: header.fields.get(f"tokenizer.ggml.{name}") for name in _TOKENIZER}
    if not isinstance(parts["tokens"], Array) or parts["model"] in ("none", "no_vocab"):
        return None
    plain = {name: value.sha256 if isinstance(value, Array) else value for name, value in parts.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _problems(header: GgufHeader, architecture: str) -> Iterator[str]:
    fields = header.fields
    parts = fields.get("split.count", 1)
    if parts != 1:
        yield f"is one of {parts} parts; merge them into one file first."
        return
    # An architecture that keeps a running state has no heads, and is refused for that elsewhere.
    needed = [key for key in _SIZES.values() if architecture != "mamba" or key != "attention.head_count"]
    for key in needed:
        value = fields.get(f"{architecture}.{key}")
        if type(value) is not int or value <= 0:
            yield f"its header has no {architecture}.{key}{', but one per layer' if isinstance(value, Array) else ''}."
    scaling = fields.get(f"{architecture}.rope.scaling.type", "none")
    factors = sorted(name for name in header.shapes if name.startswith(("rope_freqs", "rope_factors")))
    if scaling != "none" or factors:
        what = printable(factors[0]) if factors else f"{architecture}.rope.scaling.type {scaling!r}"
        yield f"scales its rotary positions ({what}), which the conversion would lose; use the model's own checkpoint."
    yield from _embedding_problems(header, fields.get(f"{architecture}.embedding_length"))


def _embedding_problems(header: GgufHeader, width: object) -> Iterator[str]:
    shape = header.shapes.get(_EMBEDDING, ())
    if len(shape) != 2:
        yield f"holds no {_EMBEDDING}."
        return
    if shape[1] != width:
        yield f"{_EMBEDDING} has width {shape[1]}, and its header says {width}."
    tokens = header.fields.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Array) and tokens.count > shape[0]:
        yield f"its tokenizer has {tokens.count} tokens, but its vocabulary has {shape[0]}."
