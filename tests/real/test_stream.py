"""The stream between the tokenizers of real models, each as anchor and as augment."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from orchestra import ComposeError
from orchestra.io.models import load_tokenizer
from orchestra.lab.weights import fetch
from orchestra.runtime.cut import LIMIT
from orchestra.runtime.detext import Detext, Tail
from orchestra.runtime.stream import Reading, Stream, differing
from orchestra.runtime.traits import opening
from tests import trained
from tests.trained import ODD, SCRIPTS
from tests.writings import CONTINUATIONS, SITUATIONS, TEXT

pytestmark = pytest.mark.real

NAMES = ("smollm2", "gemma3", "minimind2", "stories")
PAIRS = [("smollm2", augment) for augment in NAMES[1:]]
PAIRS += [("gemma3", "smollm2"), ("minimind2", "stories"), ("stories", "minimind2")]
"""Anchor and augment: each is both, and SmolLM2 leads to all others."""
SPELLING = "characters"
LACKING = re.compile("[\x04\x06\x13\x14\x16\x1d\U00040000-\U000bffff]")
"""What SmolLM2 has no tokens for, nor one for what it does not know."""


@pytest.fixture(autouse=True)
def there(real: Callable[[str], Path]) -> None:
    """Skip where the models are not."""
    for name in NAMES:
        real(name)


@cache
def tokenizer(name: str) -> PreTrainedTokenizerBase:
    found = trained.tokenizer(name) if name == SPELLING else load_tokenizer(fetch.folder(name))
    assert found is not None
    return found


@cache
def special(name: str) -> dict[str, str]:
    """A template that keeps each special token as it is written."""
    added = tokenizer(name).added_tokens_decoder.values()
    return {token.content: token.content for token in added if token.special}


@cache
def stream(anchor: str, augment: str) -> Stream:
    return Stream(tokenizer(anchor), tokenizer(augment), special(anchor))


def ids_of(name: str, text: str) -> list[int]:
    """The tokens of a text, and nothing in front."""
    ids: list[int] = tokenizer(name).backend_tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def reading_of(anchor: str, augment: str, text: str) -> Reading:
    reading = Reading(stream(anchor, augment))
    reading.read(ids_of(anchor, text))
    return reading


class Decoding:
    """The text of tokens that come one after the other."""

    def __init__(self, name: str) -> None:
        self.detext, self.tail = Detext(tokenizer(name), special(name)), Tail()

    def read(self, ids: list[int]) -> str:
        texts = []
        for token in ids:
            self.tail, text = self.detext.step(self.tail, token)
            texts.append(text)
        return "".join(texts)


def committed(augment: str, reading: Reading) -> list[int]:
    """What is committed, without what the tokenizer puts in front."""
    return reading.ids[len(opening(tokenizer(augment))) :]


@pytest.mark.parametrize("augment", NAMES)
def test_what_is_committed_is_what_the_whole_text_begins_with_whatever_comes_later(augment: str) -> None:
    backend, wrong = tokenizer(augment).backend_tokenizer, []
    for text in SITUATIONS:
        found = committed(augment, reading_of(SPELLING, augment, text))
        texts = [text + more for more in CONTINUATIONS]
        for whole, encoding in zip(texts, backend.encode_batch_fast(texts, add_special_tokens=False), strict=True):
            if encoding.ids[: len(found)] != found:
                wrong.append((text, whole, encoding.tokens))
    assert wrong == []


@settings(max_examples=100)
@given(pair=st.sampled_from(PAIRS), text=TEXT, data=st.data())
def test_nothing_is_taken_back_lost_or_doubled_and_parts_are_the_whole(
    pair: tuple[str, str], text: str, data: st.DataObject
) -> None:
    anchor, augment = pair
    if augment == "smollm2":
        text = LACKING.sub("", text)
    if augment == "stories":  # it takes a blank at the start for the one that it puts there
        text = text.lstrip(" ")
    ids = ids_of(anchor, text)
    part, whole = Reading(stream(anchor, augment)), Reading(stream(anchor, augment))
    whole.read(ids)
    place = data.draw(st.integers(0, len(ids)))
    part.read(ids[:place])
    assert whole.ids[: len(part.ids)] == part.ids
    assert whole.counts[:place] == part.counts
    assert len(part.held) <= LIMIT
    said = Decoding(anchor).read(ids[:place])
    assert Decoding(augment).read(committed(augment, part)) + part.held == said
    part.read(ids[place:])
    assert (part.ids, part.counts, part.held) == (whole.ids, whole.counts, whole.held)


@pytest.mark.parametrize("sign", ["\x16", "\U00040000"])
def test_a_character_that_an_augment_has_no_tokens_for_is_an_error(sign: str) -> None:
    with pytest.raises(ComposeError, match=f"has no token for {re.escape(repr(sign))} "):
        reading_of("gemma3", "smollm2", f"a{sign}b c")


@pytest.mark.parametrize(("anchor", "augment"), PAIRS)
def test_hardly_a_token_differs_from_those_of_the_whole_text(anchor: str, augment: str) -> None:
    differ = {}
    for name, text in (*SCRIPTS.items(), ("odd", "\n".join(ODD[:8]))):
        reading = reading_of(anchor, augment, text)
        reading.close()
        found = committed(augment, reading)
        differ[name] = differing(found, ids_of(augment, text)) / len(found)
    print(f"{anchor} -> {augment}: {', '.join(f'{name} {share:.2%}' for name, share in differ.items())}")
    assert max(share for name, share in differ.items() if name != "odd") < 0.01
