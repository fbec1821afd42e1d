"""Configs of tiny models, one for each architecture that is tested, and of some that cannot be composed."""

from typing import Any

from transformers import (
    BertConfig,
    BloomConfig,
    CohereConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    MptConfig,
    Olmo2Config,
    OpenAIGPTConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    RecurrentGemmaConfig,
    RobertaConfig,
    RwkvConfig,
    StableLmConfig,
    Starcoder2Config,
    T5Config,
)

VOCAB = 97
WINDOW = 5
"""Of every sliding attention: shorter than the tests' texts."""

_ENDS: dict[str, Any] = {"vocab_size": VOCAB, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
_DECODER: dict[str, Any] = {**_ENDS, "intermediate_size": 29, "max_position_embeddings": 64}
_TWO: dict[str, Any] = {**_DECODER, "num_hidden_layers": 2, "num_attention_heads": 2}
_THREE: dict[str, Any] = {**_DECODER, "num_hidden_layers": 3, "num_attention_heads": 2}
_ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]

CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {  # no two of one width
    "llama": (LlamaConfig, {**_THREE, "hidden_size": 28, "num_key_value_heads": 1}),
    "qwen3": (
        Qwen3Config,
        {**_TWO, "hidden_size": 20, "num_hidden_layers": 5, "num_key_value_heads": 1, "head_dim": 6},
    ),
    "gemma3": (
        Gemma3TextConfig,
        {
            **_DECODER,
            "hidden_size": 24,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "sliding_window": WINDOW,
            "layer_types": _ALTERNATING,
        },
    ),
    "gpt2": (GPT2Config, {**_ENDS, "n_embd": 36, "n_layer": 4, "n_head": 3, "n_positions": 64}),
    "gpt_neox": (GPTNeoXConfig, {**_DECODER, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}),
    "mixtral": (
        MixtralConfig,
        {
            **_DECODER,
            "hidden_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "num_local_experts": 3,
        },
    ),
    "bloom": (BloomConfig, {**_ENDS, "hidden_size": 42, "n_layer": 3, "n_head": 3}),
    "falcon": (FalconConfig, {**_ENDS, "hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}),
    "mistral": (
        MistralConfig,
        {**_THREE, "hidden_size": 12, "num_key_value_heads": 1, "sliding_window": WINDOW},
    ),
    "qwen2": (
        Qwen2Config,
        {
            **_THREE,
            "hidden_size": 44,
            "num_key_value_heads": 1,
            "use_sliding_window": True,
            "sliding_window": WINDOW,
            "layer_types": _ALTERNATING,
        },
    ),
    "gemma2": (
        Gemma2Config,
        {
            **_THREE,
            "hidden_size": 60,
            "num_key_value_heads": 1,
            "head_dim": 6,
            "query_pre_attn_scalar": 6,
            "sliding_window": WINDOW,
            "layer_types": _ALTERNATING,
            "attn_logit_softcapping": 2.0,  # low enough to bend what is computed here
            "final_logit_softcapping": 3.0,
        },
    ),
    "phi3": (Phi3Config, {**_THREE, "hidden_size": 26, "num_attention_heads": 1, "sliding_window": WINDOW}),
    "opt": (
        OPTConfig,
        {
            **_ENDS,
            "hidden_size": 64,
            "word_embed_proj_dim": 14,
            "ffn_dim": 29,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
        },
    ),
    "olmo2": (Olmo2Config, {**_THREE, "hidden_size": 52, "num_key_value_heads": 1}),
    "gptj": (GPTJConfig, {**_ENDS, "n_embd": 30, "n_layer": 3, "n_head": 3, "rotary_dim": 4, "n_positions": 64}),
    "mpt": (MptConfig, {**_ENDS, "d_model": 18, "n_layers": 3, "n_heads": 3, "max_seq_len": 64}),
    "starcoder2": (
        Starcoder2Config,
        {**_THREE, "hidden_size": 16, "num_key_value_heads": 1, "sliding_window": WINDOW},
    ),
    "stablelm": (
        StableLmConfig,
        {
            **_THREE,
            "hidden_size": 72,
            "num_attention_heads": 3,
            "num_key_value_heads": 3,
            "qk_layernorm": True,
            "use_qkv_bias": True,
            "use_parallel_residual": True,
        },
    ),
    "granite": (
        GraniteConfig,
        {
            **_THREE,
            "hidden_size": 56,
            "num_key_value_heads": 1,
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.7,
            "attention_multiplier": 0.3,
            "logits_scaling": 1.9,
        },
    ),
    "cohere": (
        CohereConfig,
        {**_THREE, "hidden_size": 38, "num_attention_heads": 1, "use_qk_norm": True, "logit_scale": 0.6},
    ),
}

_RUNNING = (
    "keeps a running state ({}), which cannot go back to an earlier token; "
    "only models that attend to their tokens can be composed."
)
_SEES_LATER = "is an encoder ({}), whose tokens see later ones; only decoders can be composed."

REFUSED: dict[str, tuple[PreTrainedConfig, str]] = {
    "mamba": (MambaConfig(vocab_size=VOCAB, hidden_size=12, num_hidden_layers=2, state_size=3), _RUNNING),
    "recurrent_gemma": (RecurrentGemmaConfig(**_THREE, hidden_size=16, lru_width=16), _RUNNING),
    "rwkv": (RwkvConfig(vocab_size=VOCAB, hidden_size=12, num_hidden_layers=2), _RUNNING),
    "openai-gpt": (
        OpenAIGPTConfig(vocab_size=VOCAB, n_embd=12, n_layer=2, n_head=2),
        "keeps no keys and values of what it has read ({}); only models that do can be composed.",
    ),
    "t5": (
        T5Config(vocab_size=VOCAB, d_model=12, d_kv=6, d_ff=29, num_layers=2, num_heads=2),
        "is an encoder-decoder model ({}); only decoders can be composed.",
    ),
    "bert": (BertConfig(**_TWO, hidden_size=12), _SEES_LATER),
    "roberta": (RobertaConfig(**{**_TWO, "pad_token_id": 1}, hidden_size=12), _SEES_LATER),
    "roberta, decoding": (
        RobertaConfig(**{**_TWO, "pad_token_id": 1}, hidden_size=12, is_decoder=True),
        "counts positions from its padding token's id on ({}); only models that count from 0 can be composed.",
    ),
    "gemma3, both ways": (
        Gemma3TextConfig(**_THREE, hidden_size=16, num_key_value_heads=1, use_bidirectional_attention=True),
        "has use_bidirectional_attention ({}): its tokens see later ones; only decoders can be composed.",
    ),
}
"""With the reason, in which the model's type goes."""


def config(architecture: str) -> PreTrainedConfig:
    """The config of a tiny model that can be composed."""
    kind, fields = CONFIGS[architecture]
    return kind(**fields)


def refusal(name: str) -> str:
    """Why this one is refused."""
    refused, reason = REFUSED[name]
    return reason.format(refused.model_type)
