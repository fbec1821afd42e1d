from dataclasses import replace
from typing import Any

import pytest

from orchestra.draw.words import kind, printable, reading, short, state
from tests.papers import DIGITS, KV, document, plan

STREAMS: dict[str, Any] = {"anchor": replace(DIGITS, tokenizer="a" * 64), "kv": replace(KV, tokenizer="b" * 64)}


@pytest.mark.parametrize(
    ("fields", "models", "told"),
    [
        ({}, {}, "the anchor's ids"),
        ({"context": "prompt"}, {}, "the prompt's ids"),
        ({}, STREAMS, "a stream"),
        ({"context": "prompt"}, STREAMS, "a stream of the prompt"),
    ],
)
def test_what_an_augment_reads_is_told(fields: dict[str, Any], models: dict[str, Any], told: str) -> None:
    (node,) = plan(document(kv=fields), **models).graph.augments
    assert reading(node) == told


def test_an_augment_is_off_or_stopped_or_runs() -> None:
    planned = plan(document(kv={"into": ["tetum"]}, tetum={"enabled": False}, self={}), self=DIGITS)
    assert {cost.augment: state(cost) for cost in planned.costs} == {"kv": "stopped", "self": "", "tetum": "off"}


def test_texts_are_cut_and_rid_of_control_characters() -> None:
    assert printable("a\x00b\nc") == "a b c"
    assert (short("abcd", 4), short("abcde", 4)) == ("abcd", "abc…")
    (node,) = plan(document(), kv=replace(KV, model_type="g\x07t")).graph.augments
    assert kind(node) == "g t, width 14"
