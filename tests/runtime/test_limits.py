"""A text that is longer than an augment's table of positions."""

import re
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CodeGenConfig,
    GPTJConfig,
    MptConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    XGLMConfig,
)

from orchestra import ComposeError
from orchestra.runtime.limits import num_positions
from tests.tiny import compose, generate, model, tokens, watching, words

ENDS: dict[str, Any] = {"vocab_size": 97, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
PLAIN: dict[str, Any] = {**ENDS, "n_embd": 12, "n_layer": 2, "n_head": 3, "rotary_dim": 4, "n_positions": 23}
WIDE: dict[str, Any] = {**ENDS, "attention_heads": 3, "ffn_dim": 5, "max_position_embeddings": 23}
OTHERS: dict[str, tuple[PreTrainedConfig, int | None]] = {
    "opt": (OPTConfig(**WIDE, hidden_size=12, word_embed_proj_dim=12, num_hidden_layers=2, num_attention_heads=3), 23),
    "gptj": (GPTJConfig(**PLAIN), 23),
    "codegen": (CodeGenConfig(**{**PLAIN, "n_embd": 16, "n_head": 4}), 23),
    "mpt": (MptConfig(**ENDS, d_model=12, n_heads=3, n_layers=2, max_seq_len=23), 23),
    "xglm": (XGLMConfig(**WIDE, d_model=12, num_layers=2), None),  # its table grows
}


def told(augment: str, limit: int, length: int) -> str:
    return (
        f"augment '{augment}' reads {limit} tokens at most, its table of positions ends there, and this text has "
        f"{length}: shorten it, or switch the augment off."
    )


def refusal(*lines: str) -> str:
    return "^" + re.escape("\n".join(lines)) + "$"


@pytest.mark.parametrize("architecture", OTHERS)
def test_the_end_is_where_the_model_itself_breaks(architecture: str) -> None:
    config, limit = OTHERS[architecture]
    body: PreTrainedModel = AutoModelForCausalLM.from_config(config).base_model.eval()
    assert num_positions(body) == limit
    body(tokens(1, 23))
    if limit is None:
        body(tokens(1, 24))
    else:
        with pytest.raises((IndexError, RuntimeError)):
            body(tokens(1, 24))


@pytest.mark.parametrize("architecture", ["llama", "bloom", "falcon", "gpt_neox"])
def test_a_model_without_a_table_has_no_end(architecture: str) -> None:
    body: Any = model(architecture, dtype=torch.float32).base_model
    assert num_positions(body) is None
    body(tokens(1, 71))


def test_a_longer_text_is_refused_before_anything_runs() -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1), other=model("gpt2", seed=2), near=model("falcon"))
    with torch.no_grad():
        assert composed(tokens(1, 64)).logits.shape == (1, 64, 97)
        with watching() as runs, pytest.raises(ComposeError, match=refusal(told("kv", 64, 65), told("other", 64, 65))):
            composed(tokens(1, 65))
        assert [runs(part) for part in (composed.anchor, composed.augment("near"), composed.augment("kv"))] == [0, 0, 0]
        with composed.ablate("kv"), pytest.raises(ComposeError, match=refusal(told("other", 64, 65))):
            composed.traced(tokens(1, 65))
        with composed.only("near"):
            assert composed(tokens(1, 65)).logits.shape == (1, 65, 97)


def test_padding_takes_no_place() -> None:
    composed, ids = compose(model("llama"), kv=model("gpt2", seed=1)), tokens(2, 67)
    mask = torch.ones_like(ids)
    mask[:, :3] = 0
    with torch.no_grad():
        padded = composed(ids, attention_mask=mask).logits[:, 3:]
        torch.testing.assert_close(padded, composed(ids[:, 3:]).logits, rtol=0, atol=1e-9)
        mask[1, 2] = 1
        with pytest.raises(ComposeError, match=refusal(told("kv", 64, 65))):
            composed(ids, attention_mask=mask)


def test_a_cache_that_met_the_end_is_still_whole() -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    with torch.no_grad():
        cache = composed(tokens(1, 63)).past_key_values
        with pytest.raises(ComposeError, match=refusal(told("kv", 64, 65))):
            composed(tokens(1, 2), past_key_values=cache)
        assert composed(tokens(1, 1), past_key_values=cache).past_key_values.get_seq_length() == 64
    with pytest.raises(ComposeError, match=refusal(told("kv", 64, 65))):
        generate(composed, tokens(1, 61))


def test_the_anchor_s_own_end_is_that_of_transformers() -> None:
    anchor = model("gpt2")
    composed = compose(anchor, kv=model("llama", seed=1))
    assert generate(composed, tokens(1, 61), max_new_tokens=4).shape == (1, 65)
    for which in (anchor, composed):
        with pytest.raises(IndexError, match="index out of range in self"):
            which(tokens(1, 65))


def test_contributions_of_a_longer_text_are_refused() -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    composed.tokenizer = words()
    with pytest.raises(ComposeError, match=refusal(told("kv", 64, 65))):
        composed.contributions("w1 " * 65)
