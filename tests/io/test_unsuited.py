from typing import Any

import pytest

from orchestra.io.unsuited import why_unsuited
from tests.configs import CONFIGS, config

ENCODER = "is an encoder ({}), whose tokens see later ones; only decoders can be composed."


@pytest.mark.parametrize("architecture", CONFIGS)
def test_what_is_tested_is_suited(architecture: str) -> None:
    assert why_unsuited(config(architecture).to_dict()) is None


@pytest.mark.parametrize("kind", ["mamba", "rwkv", "jamba", "qwen3_next", "lfm2"])
def test_a_running_state_cannot_go_back(kind: str) -> None:
    assert why_unsuited({"model_type": kind}) == (
        f"keeps a running state ({kind}), which cannot go back to an earlier token; "
        "only models that attend to their tokens can be composed."
    )


@pytest.mark.parametrize("kind", ["bert", "electra", "roberta", "xlnet", "modernbert"])
@pytest.mark.parametrize("told", [{}, {"is_decoder": False}], ids=str)
def test_an_encoder_sees_later_tokens(kind: str, told: dict[str, Any]) -> None:
    assert why_unsuited({"model_type": kind, **told}) == ENCODER.format(kind)


def test_an_encoder_that_its_config_makes_a_decoder_is_suited() -> None:
    assert why_unsuited({"model_type": "bert", "is_decoder": True}) is None
    for kind in ("xlnet", "roformer"):
        assert why_unsuited({"model_type": kind, "is_decoder": True}) == ENCODER.format(kind)


def test_a_model_without_a_cache_is_not() -> None:
    message = "keeps no keys and values of what it has read (openai-gpt); only models that do can be composed."
    assert why_unsuited({"model_type": "openai-gpt"}) == message


def test_a_decoder_that_counts_from_its_padding_token_on_is_not() -> None:
    assert why_unsuited({"model_type": "roberta", "is_decoder": True}) == (
        "counts positions from its padding token's id on (roberta); only models that count from 0 can be composed."
    )


@pytest.mark.parametrize("told", [True, "all"])
def test_a_decoder_that_its_config_makes_an_encoder_is_not(told: object) -> None:
    assert why_unsuited({"model_type": "gemma3_text", "use_bidirectional_attention": told}) == (
        "has use_bidirectional_attention (gemma3_text): its tokens see later ones; only decoders can be composed."
    )
    for harmless in (False, None, "vision"):
        assert why_unsuited({"model_type": "gemma3_text", "use_bidirectional_attention": harmless}) is None


def test_an_encoder_decoder_is_not_and_neither_is_its_decoder_alone() -> None:
    message = "is an encoder-decoder model ({}); only decoders can be composed."
    assert why_unsuited({"model_type": "t5", "is_encoder_decoder": True}) == message.format("t5")
    decoder = {"model_type": "bart", "is_encoder_decoder": False, "encoder_layers": 2, "decoder_layers": 2}
    assert why_unsuited(decoder) == message.format("bart")
