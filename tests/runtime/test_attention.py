import re
from typing import Any

import pytest
from transformers import (
    AutoModel,
    BertConfig,
    Gemma3TextConfig,
    Lfm2Config,
    MambaConfig,
    OpenAIGPTConfig,
    PreTrainedConfig,
)

import orchestra
from orchestra import ModelError
from orchestra.io import facts
from orchestra.runtime.attention import check_attention
from tests.configs import CONFIGS, VOCAB
from tests.tiny import document, model

SIZES: dict[str, Any] = {"vocab_size": VOCAB, "hidden_size": 12, "intermediate_size": 24, "num_hidden_layers": 2}
HEADS: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1}
RUNNING = (
    "keeps a running state, which cannot go back to an earlier token; "
    "only models that attend to their tokens can be composed."
)
UNFIT: dict[str, tuple[PreTrainedConfig, str]] = {
    "mamba": (
        MambaConfig(**SIZES, state_size=3),
        f"MambaModel {RUNNING}",
    ),
    "lfm2": (Lfm2Config(**SIZES, **HEADS, layer_types=["conv", "full_attention"]), f"Lfm2Model {RUNNING}"),
    "openai-gpt": (
        OpenAIGPTConfig(vocab_size=VOCAB, n_embd=12, n_layer=2, n_head=2),
        "OpenAIGPTModel keeps no keys and values of what it has read; only models that do can be composed.",
    ),
    "bert": (
        BertConfig(**SIZES, num_attention_heads=2),
        "BertModel lets tokens see later ones (layer 0.attention.self); only decoders can be composed.",
    ),
    "gemma3": (
        Gemma3TextConfig(**SIZES, **HEADS, use_bidirectional_attention=True),
        "Gemma3TextModel lets tokens see later ones (layer 0.self_attn); only decoders can be composed.",
    ),
}


@pytest.mark.parametrize("architecture", CONFIGS)
def test_what_reads_from_left_to_right_is_let_through(architecture: str) -> None:
    tested = model(architecture)
    check_attention("kv", tested, tested.config.num_hidden_layers)


@pytest.mark.parametrize("architecture", UNFIT)
def test_what_does_not_is_known_by_its_modules(architecture: str) -> None:
    config, message = UNFIT[architecture]
    with pytest.raises(ModelError, match=f"^{re.escape(f'kv: {message}')}$"):
        check_attention("kv", AutoModel.from_config(config), 2)


@pytest.mark.parametrize("role", ["anchor", "kv"])
def test_a_model_that_no_list_names_is_refused_when_it_is_loaded(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "why_unsuited", lambda _: None)
    config, message = UNFIT["bert"]
    given = {"anchor": model("llama"), "kv": model("llama"), role: AutoModel.from_config(config)}
    with pytest.raises(ModelError, match=f"^{re.escape(f'{role}: {message}')}$"):
        orchestra.load(document({"kv": {}}), models=given)
