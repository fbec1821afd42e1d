"""Architectures that cannot be composed, and why: read from a config, before a weight is. No torch."""

from collections.abc import Mapping
from typing import Any

_RECURRENT = frozenset(
    [
        "bailing_hybrid",
        "bamba",
        "deepseek_v4",
        "falcon_h1",
        "falcon_mamba",
        "granitemoehybrid",
        "inkling2_text",
        "inkling_text",
        "jamba",
        "kimi_linear",
        "lfm2",
        "lfm2_moe",
        "lfm3",
        "mamba",
        "mamba2",
        "minimax",
        "nemotron_h",
        "olmo_hybrid",
        "qwen3_5",
        "qwen3_5_moe",
        "qwen3_5_moe_text",
        "qwen3_5_text",
        "qwen3_next",
        "qwen4_exp",
        "qwen4_exp_text",
        "recurrent_gemma",
        "rwkv",
        "xlstm",
        "zamba",
        "zamba2",
        "zaya",
    ]
)
_NO_CACHE = frozenset(["gemma4_assistant", "gemma4_unified_assistant", "openai-gpt", "reformer", "xlm"])
_BOTH_WAYS = frozenset(
    [
        "albert",
        "deberta",
        "deberta-v2",
        "distilbert",
        "eurobert",
        "modernbert",
        "mpnet",
        "nomic_bert",
        "roformer",
        "xlnet",
    ]
)
"""Encoders whatever their config says; roformer can decode, but reads a padded text otherwise than the text alone."""
_ENCODERS = frozenset(
    [
        "bert",
        "bert-generation",
        "big_bird",
        "electra",
        "ernie",
        "megatron-bert",
        "rembert",
        "roc_bert",
    ]
)
"""Encoders unless their config says that they decode."""
_COUNT_FROM_PADDING = frozenset(
    ["camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"]
)
"""Encoders likewise; as decoders they count positions in a way that no mask tells."""


def why_unsuited(config: Mapping[str, Any]) -> str | None:
    """What keeps an architecture from being composed, to follow a model's name; None where nothing is known.

    Args:
        config: of the model, or of the language model in it.
    """
    kind = config.get("model_type")
    if config.get("is_encoder_decoder") is True or "encoder_layers" in config:  # a decoder alone keeps the field
        return f"is an encoder-decoder model ({kind}); only decoders can be composed."
    if kind in _RECURRENT:
        return (
            f"keeps a running state ({kind}), which cannot go back to an earlier token; "
            "only models that attend to their tokens can be composed."
        )
    if kind in _NO_CACHE:
        return f"keeps no keys and values of what it has read ({kind}); only models that do can be composed."
    if kind in _BOTH_WAYS or (kind in _ENCODERS | _COUNT_FROM_PADDING and config.get("is_decoder") is not True):
        return f"is an encoder ({kind}), whose tokens see later ones; only decoders can be composed."
    if config.get("use_bidirectional_attention") in (True, "all"):
        return f"has use_bidirectional_attention ({kind}): its tokens see later ones; only decoders can be composed."
    if kind in _COUNT_FROM_PADDING:
        return (
            f"counts positions from its padding token's id on ({kind}); only models that count from 0 can be composed."
        )
    return None
