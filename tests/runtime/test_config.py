import json

from orchestra.runtime.config import ComposedConfig
from tests.tiny import compose, config, model


def test_transformers_sees_the_anchor_s_text_config() -> None:
    anchor = model("llama")
    composed = compose(anchor, kv=model("gpt2", seed=1))
    assert composed.config.get_text_config() is anchor.config
    assert composed.config.get_text_config(decoder=True).num_hidden_layers == 3


def test_a_config_of_nothing_is_its_own_text_config() -> None:
    empty = ComposedConfig()
    assert empty.get_text_config() is empty


def test_a_config_can_be_written_down() -> None:
    written = json.loads(ComposedConfig(anchor=config("llama")).to_json_string())
    assert written["model_type"] == "orchestra"
    assert written["use_cache"] is True
