import base64
from typing import Any

import pytest

from orchestra.io.suspect import why_config, why_tokenizer

HONEST = {
    "num_hidden_layers": 126,
    "num_attention_heads": 128,
    "num_local_experts": 512,
    "num_labels": 2,
    "max_position_embeddings": 10_485_760,
    "rope_theta": 10**11,
    "layer_norm_eps": 1e-5,
    "attn_implementation": "flash_attention_2",
    "_attn_implementation": None,
    "experts_implementation": "eager",
    "tie_word_embeddings": True,
    "text_config": {"num_hidden_layers": 61, "layer_types": ["full_attention"] * 61},
}


def test_an_honest_config_has_nothing_against_it() -> None:
    assert list(why_config(HONEST, 3)) == []


def test_more_layers_than_tensors_are_let_through_as_long_as_they_are_few() -> None:
    assert list(why_config({"n_layer": 1_000}, 0)) == []
    assert list(why_config({"n_layer": 1_009}, 1_009)) == []
    assert list(why_config({"n_layer": 1_009}, 1_008)) == [
        "its config says that it has 1009 layers, but its files hold 1008 tensors."
    ]


@pytest.mark.parametrize(
    ("field", "value", "limit"),
    [
        ("num_key_value_heads", 10_001, "10,000"),
        ("moe_num_experts", 10_001, "10,000"),
        ("num_nextn_predict_layers", 10_001, "10,000"),
        ("num_labels", 1_000_001, "1,000,000"),
    ],
)
def test_every_count_above_its_limit_is_named_wherever_it_stands(field: str, value: int, limit: str) -> None:
    told = f"its config's {field} is {value}; {limit} are allowed at most."
    assert list(why_config({"a": [{"b": {field: value, "c": value}}]}, 3)) == [told]
    assert list(why_config({field: value - 1}, 3)) == []


@pytest.mark.parametrize("value", ["acme/kernel", "acme/kernel@v1:run", {"": "sdpa"}, ["sdpa"], 10**9])
@pytest.mark.parametrize("field", ["attn_implementation", "_attn_implementation_internal", "experts_implementation"])
def test_an_implementation_that_is_no_plain_word_is_refused(field: str, value: object) -> None:
    (told,) = why_config({"vision_config": {field: value}}, 3)
    assert told.startswith(f"its config's {field} is ")
    assert told.endswith(", which names code of the Hub; it is never run.")


def charsmap(trie: bytes, length: int | None = None) -> str:
    return base64.b64encode((len(trie) if length is None else length).to_bytes(4, "little") + trie).decode()


def normalized(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"normalizer": {"type": "Sequence", "normalizers": list(parts)}}


def test_a_table_of_characters_is_whole_when_its_trie_is_as_long_as_it_says() -> None:
    for whole in (charsmap(bytes(8)), charsmap(bytes(8) + b"rest", 8), None):
        assert list(why_tokenizer(normalized({"type": "Precompiled", "precompiled_charsmap": whole}))) == []
    for broken in ("", "AA==", "é", charsmap(b""), charsmap(bytes(8), 12), charsmap(bytes(7)), 3, ["AAAA"]):
        assert list(why_tokenizer(normalized({"type": "Precompiled", "precompiled_charsmap": broken}))) == [
            "has a damaged precompiled_charsmap; fetch or save it again."
        ]


def test_how_much_longer_a_text_becomes_is_the_product_of_its_replacements() -> None:
    ten = {"type": "Replace", "pattern": {"String": "a"}, "content": "b" * 10}
    none = {"type": "Replace", "pattern": {"String": "a"}, "content": ""}
    seven = {"type": "Prepend", "prepend": "1234567"}
    assert list(why_tokenizer(normalized(ten, ten, ten, none))) == []
    assert list(why_tokenizer(normalized(ten, ten, ten, seven))) == [
        "makes a text 7000 times as long; 1,000 times are allowed at most."
    ]
    assert list(why_tokenizer({**normalized(ten, ten), "decoder": {"type": "Sequence", "decoders": [ten, ten]}})) != []
    assert list(why_tokenizer({"model": {"vocab": {"a": 0}}, "normalizer": None})) == []
