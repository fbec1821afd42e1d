"""From a config to a shape: what each architecture calls its maps, and how it sizes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestra.cost.shape import Experts, Layer, Map, Shape

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """The sizes that layers are made of."""

    config: Config
    d: int
    queries: int
    keys: int
    inner: int

    @property
    def parallel(self) -> bool:
        """Whether attention and feed-forward both read the layer's input."""
        kind = str(self.config["model_type"])
        if kind == "falcon":
            return bool(self.config.get("new_decoder_architecture") or self.config.get("parallel_attn", True))
        named = self.config.get("use_parallel_residual", kind == "gpt_neox")
        return bool(named) or kind in ("cohere", "cohere2", "gptj", "phi")


def shape(config: Config) -> Shape:
    """Read the sizes of the language model that a config describes."""
    text: Config = config.get("text_config") or config
    kind = str(text["model_type"])
    sizes = _sizes(text)
    d, vocab = sizes.d, _number(text, "vocab_size")
    narrow = _number(text, "word_embed_proj_dim", default=d)
    between = narrow * d if narrow != d else 0
    named = (part.get(name) for part in (text, config) for name in ("dtype", "torch_dtype"))
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings"))
    return Shape(
        model_type=kind,
        known=kind in _KINDS,
        layers=_layers(text, sizes),
        embedding=vocab * narrow,
        positions=d * _positions(text),
        entry=between,
        exit=between,
        head=vocab * narrow,
        tied=bool(kind in _TIED if tied is None else tied),
        dtype=next((found for found in named if isinstance(found, str)), None),
        longest=_rows(text) or None,
    )


def _positions(text: Config) -> int:
    """Rows of the table of positions; opt's begins with two that stand for padding."""
    kind = str(text["model_type"])
    rows = _rows(text)
    return rows + 2 if kind == "opt" else rows if kind in ("gpt2", "gpt_bigcode") else 0


def _rows(text: Config) -> int:
    return _number(text, "max_position_embeddings", "n_positions")


def _layers(text: Config, sizes: _Sizes) -> tuple[Layer, ...]:
    number = _number(text, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    attention, feeding = _KINDS.get(str(text["model_type"]), (_separate, _gated))
    windows, experts = _windows(text, number), _experts(text, sizes)
    kept = {"d_attention": sizes.queries, "d_kept": 2 * sizes.keys}
    layers = []
    for index in range(number):
        sparse = experts if experts is not None and _is_sparse(text, index) else None
        maps = attention(sizes) + (_shared(text, sizes) if sparse else feeding(sizes))
        layers.append(Layer(maps=maps, window=windows[index], experts=sparse, **kept))
    return tuple(layers)


def _sizes(text: Config) -> _Sizes:
    d = _number(text, "hidden_size", "n_embd", "d_model")
    heads = _number(text, "num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
    d_head = _number(text, "head_dim", default=d // heads)
    kind, kv = str(text["model_type"]), _number(text, "num_key_value_heads", default=heads)
    if kind == "falcon":
        grouped = _number(text, "num_kv_heads", default=heads)
        kv = grouped if text.get("new_decoder_architecture") else 1 if text.get("multi_query", True) else heads
    if kind == "gpt_bigcode" and text.get("multi_query", True):
        kv = 1
    inner = _number(
        *(text, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
        default=_number(text, "expansion_ratio", default=4) * d,
    )
    return _Sizes(config=text, d=d, queries=heads * d_head, keys=kv * d_head, inner=inner)


def _number(config: Config, *names: str, default: int = 0) -> int:
    """The first of these fields that holds a number above 0."""
    found = (config.get(name) for name in names)
    return next((value for value in found if type(value) is int and value > 0), default)


def _windows(text: Config, number: int) -> list[int | None]:
    """How far back each layer attends, as transformers' cache of that config keeps it; None: to all."""
    kind = str(text["model_type"])
    window = _number({"sliding_window": _WINDOWS.get(kind), **text}, "sliding_window")
    if not window or not text.get("use_sliding_window", kind not in _ASKED_TO_SLIDE):
        return [None] * number
    types = text.get("layer_types")
    if isinstance(types, list) and len(types) == number:
        return [window if each == "sliding_attention" else None for each in types]
    return [window if _slides(text, kind, index) else None for index in range(number)]


def _slides(text: Config, kind: str, index: int) -> bool:
    """Whether a layer attends to a window, where a config does not list which do."""
    first = _number(text, "max_window_layers", default=28)
    if kind in ("qwen2", "qwen3"):
        return index >= first
    if kind == "qwen2_moe":
        return index % 2 == 0 and index < first
    if kind == "smollm3":  # those without rotary positions
        rotary = text.get("no_rope_layers")
        if isinstance(rotary, list) and index < len(rotary):
            return not rotary[index]
        return (index + 1) % _number(text, "no_rope_layer_interval", default=4) == 0
    every = _number(text, "sliding_window_pattern", default=_FULL_EVERY.get(kind, 0))
    return not (every and (index + 1) % every == 0)


def _separate(sizes: _Sizes) -> tuple[Map, ...]:
    return _heads(sizes, "q_proj", "k_proj", "v_proj", "o_proj")


def _separate_out(sizes: _Sizes) -> tuple[Map, ...]:
    return _heads(sizes, "q_proj", "k_proj", "v_proj", "out_proj")


def _separate_dense(sizes: _Sizes) -> tuple[Map, ...]:
    return _heads(sizes, "q_proj", "k_proj", "v_proj", "dense")


def _heads(sizes: _Sizes, query: str, key: str, value: str, out: str) -> tuple[Map, ...]:
    return (
        Map(name=query, d_in=sizes.d, d_out=sizes.queries, first=True),
        Map(name=key, d_in=sizes.d, d_out=sizes.keys, first=True),
        Map(name=value, d_in=sizes.d, d_out=sizes.keys, first=True),
        Map(name=out, d_in=sizes.queries, d_out=sizes.d),
    )


def _fused(name: str, out: str) -> "_Maker":
    def maps(sizes: _Sizes) -> tuple[Map, ...]:
        return (
            Map(name=name, d_in=sizes.d, d_out=sizes.queries + 2 * sizes.keys, first=True),
            Map(name=out, d_in=sizes.queries, d_out=sizes.d),
        )

    return maps


def _gated(sizes: _Sizes) -> tuple[Map, ...]:
    return (
        Map(name="gate_proj", d_in=sizes.d, d_out=sizes.inner, first=sizes.parallel),
        Map(name="up_proj", d_in=sizes.d, d_out=sizes.inner, first=sizes.parallel),
        Map(name="down_proj", d_in=sizes.inner, d_out=sizes.d),
    )


def _gated_fused(sizes: _Sizes) -> tuple[Map, ...]:
    return (
        Map(name="gate_up_proj", d_in=sizes.d, d_out=2 * sizes.inner, first=sizes.parallel),
        Map(name="down_proj", d_in=sizes.inner, d_out=sizes.d),
    )


def _plain(up: str, down: str) -> "_Maker":
    def maps(sizes: _Sizes) -> tuple[Map, ...]:
        return (
            Map(name=up, d_in=sizes.d, d_out=sizes.inner, first=sizes.parallel),
            Map(name=down, d_in=sizes.inner, d_out=sizes.d),
        )

    return maps


def _experts(text: Config, sizes: _Sizes) -> Experts | None:
    count = _number(text, "num_local_experts", "num_experts", "n_routed_experts")
    if not count:
        return None
    inner = _number(text, "moe_intermediate_size", default=sizes.inner)
    chosen = _number(text, "num_experts_per_tok", default=2)
    return Experts(count=count, chosen=chosen, size=3 * sizes.d * inner, router=sizes.d * count)


def _is_sparse(text: Config, index: int) -> bool:
    """Whether a layer has experts."""
    step = _number(text, "decoder_sparse_step", default=1)
    dense = text.get("mlp_only_layers")
    return not (isinstance(dense, list) and index in dense) and (index + 1) % step == 0


def _shared(text: Config, sizes: _Sizes) -> tuple[Map, ...]:
    """What every token goes through beside its experts."""
    inner = _number(text, "shared_expert_intermediate_size")
    if not inner:
        return ()
    return (*_gated(replace(sizes, inner=inner)), Map(name="shared_expert_gate", d_in=sizes.d, d_out=1))


_Maker = Callable[[_Sizes], tuple[Map, ...]]
_LIKE_LLAMA = (_separate, _gated)
_KINDS: dict[str, tuple[_Maker, _Maker]] = {
    **dict.fromkeys(("cohere", "cohere2", "gemma", "gemma2", "gemma3_text", "granite", "llama"), _LIKE_LLAMA),
    **dict.fromkeys(("mistral", "mixtral", "olmo", "olmo2", "olmo3", "olmoe", "qwen2", "qwen2_moe"), _LIKE_LLAMA),
    **dict.fromkeys(("qwen3", "qwen3_moe", "smollm3", "stablelm"), _LIKE_LLAMA),
    "bloom": (_fused("query_key_value", "dense"), _plain("dense_h_to_4h", "dense_4h_to_h")),
    "falcon": (_fused("query_key_value", "dense"), _plain("dense_h_to_4h", "dense_4h_to_h")),
    "gpt2": (_fused("c_attn", "c_proj"), _plain("c_fc", "c_proj")),
    "gpt_bigcode": (_fused("c_attn", "c_proj"), _plain("c_fc", "c_proj")),
    "gpt_neox": (_fused("query_key_value", "dense"), _plain("dense_h_to_4h", "dense_4h_to_h")),
    "gptj": (_separate_out, _plain("fc_in", "fc_out")),
    "mpt": (_fused("Wqkv", "out_proj"), _plain("up_proj", "down_proj")),
    "opt": (_separate_out, _plain("fc1", "fc2")),
    "phi": (_separate_dense, _plain("fc1", "fc2")),
    "phi3": (_fused("qkv_proj", "o_proj"), _gated_fused),
    "starcoder2": (_separate, _plain("c_fc", "c_proj")),
}
"""Attention and feed-forward by transformers' model type."""
_TIED = frozenset(
    [
        "bloom",
        "cohere",
        "cohere2",
        "falcon",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "gpt_bigcode",
        "mpt",
        "opt",
        "starcoder2",
    ],
)
"""Those whose head is their table of tokens unless their config says otherwise."""
_ASKED_TO_SLIDE = frozenset(["qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3"])
"""Those whose layers slide only if their config says so."""
_WINDOWS = dict.fromkeys(
    ("cohere2", "gemma2", "gemma3_text", "mistral", "olmo3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"), 4096
)
"""How far those see that slide where their config has no such field."""
_FULL_EVERY = {"gemma2": 2, "gemma3_text": 6, "cohere2": 4, "olmo3": 4, "gpt_oss": 2}
"""Every so many layers one attends to all, where a config does not say which."""
