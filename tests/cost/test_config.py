"""What configs say, held to what torch counts and to the models themselves, architecture by architecture."""

from typing import Any

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    DynamicCache,
    GPTBigCodeConfig,
    PhiConfig,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
)

from orchestra.cost.config import shape
from orchestra.cost.flops import model_flops
from orchestra.cost.shape import Shape
from orchestra.runtime.config import shortest
from tests.configs import CONFIGS, WINDOW
from tests.counted import PROMPT, read, trained
from tests.tiny import VOCAB, config, model

NORMS = 0.1
"""Share of norms and biases in models as tiny as these, at most."""
SPARSE: dict[str, Any] = {
    **{"vocab_size": VOCAB, "hidden_size": 20, "num_hidden_layers": 3, "num_attention_heads": 2},
    **{"num_key_value_heads": 1, "intermediate_size": 29, "moe_intermediate_size": 7, "head_dim": 10},
    **{"num_experts": 5, "num_experts_per_tok": 3, "mlp_only_layers": [1], "decoder_sparse_step": 1},
}


def shape_of(made: Any) -> Shape:
    return shape(made.config.to_dict())


@pytest.mark.parametrize("architecture", CONFIGS)
def test_a_text_may_be_as_long_as_the_model_says(architecture: str) -> None:
    assert shape_of(model(architecture)).longest == shortest(config(architecture))


@pytest.mark.parametrize("architecture", CONFIGS)
def test_reading_costs_what_torch_counts(architecture: str) -> None:
    made = model(architecture, dtype=torch.float32)
    prompt, tokens = read(made, rows=2, steps=2)
    found = shape_of(made)
    assert found.known
    assert prompt == 2 * model_flops(found, new=PROMPT)
    assert tokens == [2 * model_flops(found, new=1, past=PROMPT + index) for index in range(2)]


@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_parameters_of_a_config_are_those_of_the_model_but_for_norms_and_biases(architecture: str) -> None:
    made = AutoModelForCausalLM.from_config(config(architecture))
    assert shape_of(made).num_params == sum(weight.numel() for weight in made.parameters() if weight.ndim > 1) - sum(
        weight.numel() for name, weight in made.named_parameters() if weight.ndim > 1 and "norm" in name
    )
    assert made.num_parameters() * (1 - NORMS) < shape_of(made).num_params < made.num_parameters()


@pytest.mark.parametrize(
    "sparse",
    [Qwen3MoeConfig(**SPARSE), Qwen2MoeConfig(**SPARSE, shared_expert_intermediate_size=11)],
    ids=["qwen3_moe", "qwen2_moe"],
)
def test_experts_are_held_whole_and_multiplied_with_as_chosen(sparse: Any) -> None:
    made = AutoModelForCausalLM.from_config(sparse, experts_implementation="eager").eval()
    found = shape_of(made)
    assert [layer.experts is None for layer in found.layers] == [False, True, False]
    assert read(made, steps=1) == (model_flops(found, new=PROMPT), [model_flops(found, new=1, past=PROMPT)])
    assert found.num_params == sum(weight.numel() for weight in made.parameters() if weight.ndim > 1)


@pytest.mark.parametrize(
    "told",
    [
        PhiConfig(vocab_size=VOCAB, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=29),
        GPTBigCodeConfig(vocab_size=VOCAB, n_embd=20, n_layer=2, n_head=2, n_inner=29, n_positions=64),
        GPTBigCodeConfig(vocab_size=VOCAB, n_embd=20, n_layer=2, n_head=2, n_positions=64, multi_query=False),
    ],
    ids=["phi", "gpt_bigcode", "gpt_bigcode, every head its own"],
)
def test_so_do_those_that_are_composed_nowhere_here(told: Any) -> None:
    made = AutoModelForCausalLM.from_config(told, attn_implementation="eager").eval()
    found = shape_of(made)
    assert read(made, steps=1) == (model_flops(found, new=PROMPT), [model_flops(found, new=1, past=PROMPT)])
    assert found.num_params == sum(weight.numel() for weight in made.parameters() if weight.ndim > 1)


def test_a_training_step_of_a_whole_model_costs_what_torch_counts() -> None:
    made = model("llama", dtype=torch.float32)
    forward = model_flops(shape_of(made), new=PROMPT, heads=PROMPT)
    assert trained(made) == (forward, 2 * forward)


@pytest.mark.parametrize(
    ("fields", "windows"),
    [
        ({"sliding_window": WINDOW}, [WINDOW] * 6),
        ({"sliding_window": WINDOW, "use_sliding_window": False}, [None] * 6),
        ({"sliding_window": None}, [None] * 6),
        ({"sliding_window": WINDOW, "model_type": "gemma2"}, [WINDOW, None] * 3),
        ({"sliding_window": WINDOW, "model_type": "olmo3"}, [WINDOW, WINDOW, WINDOW, None, WINDOW, WINDOW]),
        ({"sliding_window": WINDOW, "model_type": "qwen2"}, [None] * 6),
        ({"sliding_window": WINDOW, "model_type": "qwen3", "use_sliding_window": True}, [None] * 6),
        (
            {"sliding_window": WINDOW, "model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 4},
            [None] * 4 + [WINDOW] * 2,
        ),
        ({"sliding_window": WINDOW, "sliding_window_pattern": 3}, [WINDOW, WINDOW, None] * 2),
        ({"sliding_window": WINDOW, "layer_types": ["full_attention", "sliding_attention"] * 3}, [None, WINDOW] * 3),
    ],
)
def test_windows_are_those_of_the_layers_that_slide(fields: dict[str, Any], windows: list[int | None]) -> None:
    plain = {"model_type": "llama", "hidden_size": 22, "num_hidden_layers": 6, "num_attention_heads": 11}
    found = shape({**plain, "vocab_size": 97, "intermediate_size": 29, **fields})
    assert [layer.window for layer in found.layers] == windows


ASKED: dict[str, Any] = {"sliding_window": WINDOW, "use_sliding_window": True}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        *[
            (kind, {})
            for kind in ("cohere2", "gemma2", "gemma3_text", "mistral", "mixtral", "olmo3", "qwen2", "smollm3")
        ],
        *[(kind, ASKED) for kind in ("qwen2_moe", "qwen3_moe", "smollm3")],
        *[(kind, {**ASKED, "max_window_layers": 4}) for kind in ("qwen2", "qwen2_moe", "qwen3")],
        *[(kind, {"sliding_window": WINDOW}) for kind in ("qwen2_moe", "qwen3_moe", "smollm3", "phi3", "starcoder2")],
        ("qwen3", {"use_sliding_window": True, "max_window_layers": 4}),
        ("smollm3", {**ASKED, "no_rope_layers": [1, 0, 0, 1, 1, 0]}),
        ("smollm3", {**ASKED, "no_rope_layer_interval": 2}),
    ],
)
def test_a_config_that_lists_no_windows_has_those_of_transformers(kind: str, fields: dict[str, Any]) -> None:
    small: dict[str, Any] = {
        "hidden_size": 22,
        "num_hidden_layers": 6,
        "num_attention_heads": 11,
        "num_key_value_heads": 11,
    }
    small |= {"vocab_size": 97, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    kept = DynamicCache(config=CONFIG_MAPPING[kind](**small, **fields))
    windows = [getattr(layer, "sliding_window", None) for layer in kept.layers]
    assert [layer.window for layer in shape({"model_type": kind, **small, **fields}).layers] == windows


def test_a_config_of_several_models_is_read_for_its_text() -> None:
    text = config("llama").to_dict()
    assert shape({"model_type": "many", "text_config": text}) == shape(text)


def test_an_architecture_that_nobody_told_of_is_read_as_a_llama() -> None:
    found = shape({**config("llama").to_dict(), "model_type": "new"})
    assert not found.known
    assert found.layers == shape(config("llama").to_dict()).layers


def test_the_dtype_is_the_one_that_the_config_names() -> None:
    plain = {**config("llama").to_dict(), "dtype": None}
    assert shape(plain).dtype is None
    assert shape({**plain, "dtype": "bfloat16"}).dtype == "bfloat16"
    assert shape({**plain, "torch_dtype": "float16"}).dtype == "float16"


def test_what_no_honest_config_says_is_passed_over() -> None:
    plain = config("mixtral").to_dict()
    odd = {"mlp_only_layers": 7, "layer_types": ["?"], "dtype": {"a": []}, "sliding_window": 1e308, "head_dim": True}
    assert shape({**plain, **odd}).layers == shape(plain).layers
    assert shape({**plain, **odd}).dtype is None
