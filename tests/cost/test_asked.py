import re
from dataclasses import replace
from typing import Any

import pytest

from orchestra.cost.asked import Asked
from orchestra.errors import ComposeError
from tests.papers import DIGITS, KV, TETUM, check, document


def graph() -> Any:
    """kv reads the anchor's tokens, tetum a stream."""
    known = [replace(facts, tokenizer=words) for facts, words in ((DIGITS, "same"), (KV, "same"), (TETUM, "other"))]
    return check(document(kv={}, tetum={}), anchor=known[0], kv=known[1], tetum=known[2])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"prompt_length": 0}, "prompt_length is 0; it must be at least 1."),
        ({"new_tokens": -1}, "new_tokens is -1; it must be at least 1."),
        (
            {"batch": 0, "tokens_per_token": {"kv": float("nan")}},
            "batch is 0; it must be at least 1.\ntokens_per_token of kv is nan; it must be above 0.",
        ),
        ({"tokens_per_token": {"kv": 0.0}}, "tokens_per_token of kv is 0.0; it must be above 0."),
    ],
)
def test_what_is_too_small_is_named_with_what_is_allowed(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        Asked(**words)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tetun", 'tokens_per_token names "tetun", which is no augment of this graph; did you mean "tetum"?'),
        ("quux", 'tokens_per_token names "quux", which is no augment of this graph; it has kv, tetum.'),
        ("kv", 'tokens_per_token names "kv", which reads the anchor\'s tokens, one for one; drop it.'),
    ],
)
def test_tokens_of_what_reads_no_stream_are_refused(name: str, message: str) -> None:
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        Asked(tokens_per_token={name: 2.0}).fit(graph())


def test_a_stream_reads_as_many_tokens_as_was_said_and_ids_are_read_one_for_one() -> None:
    asked, found = Asked(prompt_length=7, new_tokens=4, tokens_per_token={"tetum": 1.5}), graph()
    asked.fit(found)
    kv, tetum = found.augments
    assert [asked.tokens(node, 2) for node in (found.anchor, kv, tetum)] == [2, 2, 3.0]
    assert Asked().tokens(tetum, 2) == 2.0
