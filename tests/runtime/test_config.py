import json

from orchestra.runtime.config import ComposedConfig, shortest
from tests.tiny import compose, config, model


def test_transformers_sees_the_anchor_s_text_config() -> None:
    anchor = model("llama")
    composed = compose(anchor, kv=model("gpt2", seed=1))
    assert composed.config.get_text_config() is anchor.config
    assert composed.config.get_text_config(decoder=True).num_hidden_layers == 3


def test_a_config_of_nothing_is_its_own_text_config() -> None:
    empty = ComposedConfig()
    assert empty.get_text_config() is empty


def test_a_composition_reads_as_much_as_the_least_of_its_models_says() -> None:
    anchor, augment, silent = config("llama"), config("gpt2"), config("bloom")
    anchor.max_position_embeddings, augment.n_positions = 64, 31
    assert shortest(anchor, augment, silent) == shortest(augment, anchor) == 31
    assert shortest(anchor, silent) == 64
    assert shortest(silent) is None
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    assert composed.config.max_position_embeddings == 64
    assert compose(model("bloom"), kv=model("bloom", seed=1)).config.max_position_embeddings is None


def test_a_config_can_be_written_down() -> None:
    written = json.loads(ComposedConfig(anchor=config("llama")).to_json_string())
    assert written["model_type"] == "orchestra"
    assert written["use_cache"] is True
