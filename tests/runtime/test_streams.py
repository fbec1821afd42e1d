"""What each augment reads, once the tokenizers themselves are there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from orchestra import ComposeError, ModelError
from orchestra.graph import Graph
from orchestra.runtime import streams
from orchestra.runtime.stream import Reading
from orchestra.runtime.streams import read_tokenizers, settle
from tests import papers
from tests.folders import LETTERS, letters
from tests.papers import DIGITS, KV, document

A: dict[str, Any] = {"tokenizer": "a" * 64}
B: dict[str, Any] = {"tokenizer": "b" * 64}


def graph(fields: dict[str, Any] | None = None, ours: Any = A, theirs: Any = B) -> Graph:
    return papers.check(document(kv=fields or {}), anchor=replace(DIGITS, **ours), kv=replace(KV, **theirs))


def placed(found: Graph, **folders: Path) -> Graph:
    """The graph with tokenizers from these folders."""
    nodes = [replace(node, tokenizer=str(folders[node.name])) for node in (found.anchor, *found.augments)]
    return replace(found, anchor=nodes[0], augments=tuple(nodes[1:]))


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, PreTrainedTokenizerFast]:
    """The tokenizers of an anchor and an augment: the same letters by other numbers."""
    return {"anchor": letters(tmp_path / "anchor"), "kv": letters(tmp_path / "kv", LETTERS[::-1])}


def test_an_augment_with_another_tokenizer_gets_a_stream(pair: dict[str, Any]) -> None:
    settled, found = settle(graph(), pair)
    assert [node.reads for node in settled.augments] == ["stream"]
    reading = Reading(found["kv"])
    reading.read(pair["anchor"]("ab c")["input_ids"])
    assert reading.ids == pair["kv"]("ab c")["input_ids"] != pair["anchor"]("ab c")["input_ids"]


def test_tokenizers_of_different_fingerprints_may_prove_alike(pair: dict[str, Any], tmp_path: Path) -> None:
    settled, found = settle(graph(), {**pair, "kv": letters(tmp_path)})
    assert (found, [node.reads for node in settled.augments]) == ({}, ["ids"])


def test_tokenizers_without_a_fingerprint_may_prove_different_and_get_one(pair: dict[str, Any]) -> None:
    settled, found = settle(graph(ours={}, theirs={}), pair)
    assert list(found) == ["kv"]
    assert settled.augments[0].reads == "stream"
    prints = {node.facts.tokenizer for node in (settled.anchor, *settled.augments)}
    assert len(prints - {None}) == 2


def test_an_augment_whose_tokenizer_nobody_knows_reads_the_anchor_s_ids(pair: dict[str, Any]) -> None:
    for known in ({**pair, "kv": None}, {**pair, "anchor": None}):
        assert settle(graph(theirs={}), known)[1] == {}


def test_a_template_makes_a_stream_between_equal_tokenizers(pair: dict[str, Any]) -> None:
    both = {"anchor": pair["anchor"], "kv": pair["anchor"]}
    assert settle(graph(theirs=A), both)[1] == {}
    settled, found = settle(graph({"template": {"9": "nine"}}, theirs=A), both)
    assert settled.augments[0].reads == "stream"
    reading = Reading(found["kv"])
    reading.read(pair["anchor"]("a9")["input_ids"])
    assert reading.ids == pair["anchor"]("anine")["input_ids"]


def test_tokenizers_are_loaded_from_their_places_once_and_not_where_they_are_the_anchor_s(
    pair: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load(place: Path) -> Any:
        loaded.append(place.name)
        return pair[place.name]

    monkeypatch.setattr(streams, "load_tokenizer", load)
    places = {"anchor": tmp_path / "anchor", "kv": tmp_path / "kv", "tetum": tmp_path / "kv"}
    models: Any = {"anchor": replace(DIGITS, **A), "kv": replace(KV, **B), "tetum": replace(KV, **B)}
    found = read_tokenizers(placed(papers.check(document(kv={}, tetum={}), **models), **places), {})
    assert (loaded, found) == (["anchor", "kv"], {**pair, "tetum": pair["kv"]})
    loaded.clear()
    assert read_tokenizers(placed(graph(theirs=A), **places), {})["kv"] is pair["anchor"]
    assert read_tokenizers(placed(graph(), **places), {"kv": pair["kv"]})["kv"] is pair["kv"]
    assert loaded == ["anchor", "anchor"]


def test_a_model_without_a_tokenizer_has_none() -> None:
    assert read_tokenizers(graph(ours={}, theirs={}), {}) == {"anchor": None, "kv": None}


def test_a_tokenizer_with_ids_past_its_model_s_vocabulary_is_refused_with_every_model(pair: dict[str, Any]) -> None:
    small = graph(ours={"vocab_size": 37, **A}, theirs={"vocab_size": 31, **B})
    told = (
        "{0}: its tokenizer has the token {1} with the id 37, but the model's vocabulary has {2}, numbered 0 to {3}; "
    )
    told += "name the model's own tokenizer in {0}.tokenizer."
    with pytest.raises(ModelError) as caught:
        read_tokenizers(small, pair)
    assert str(caught.value).splitlines() == [
        told.format("anchor", "'9'", 37, 36),
        told.format("augments.kv", "' '", 31, 30),
    ]


def test_the_anchor_s_ids_must_lie_in_the_vocabulary_of_an_augment_that_reads_them(pair: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"^augments\.kv: its tokenizer has the token '9' with the id 37, but"):
        read_tokenizers(graph(theirs={"vocab_size": 37, **A}), {"anchor": pair["anchor"]})


def test_a_special_token_past_the_vocabulary_is_refused_only_if_the_tokenizer_itself_puts_it_into_a_text(
    pair: dict[str, Any],
) -> None:
    pair["kv"].add_tokens(["<image>"], special_tokens=True)
    tight = graph(theirs={"vocab_size": 38, **B})
    assert read_tokenizers(tight, pair) == pair
    reading = Reading(settle(tight, pair)[1]["kv"])
    reading.read(pair["anchor"]("a<image>b")["input_ids"])
    assert max(reading.ids) < 38
    pair["kv"].pad_token = "<image>"
    with pytest.raises(ModelError, match=r"^augments\.kv: its tokenizer has the token '<image>' with the id 38, but"):
        read_tokenizers(tight, pair)


def test_every_reason_why_streams_cannot_be_is_listed_once(pair: dict[str, Any]) -> None:
    made = Tokenizer(BPE({"a": 0}, [], dropout=0.5))
    broken = PreTrainedTokenizerFast(tokenizer_object=made)
    content = document(kv={"template": {"<x>": ""}}, tetum={"template": {"<y>": ""}})
    models: Any = {"anchor": replace(DIGITS, **A), "kv": replace(KV, **B), "tetum": replace(KV, **B)}
    both = papers.check(content, **models)
    with pytest.raises(ComposeError) as caught:
        settle(both, {"anchor": broken, "kv": broken, "tetum": pair["kv"]})
    undecoded = "it has no decoder, so that its tokens would be joined by blanks that are not in the text."
    assert str(caught.value).splitlines() == [
        f"the anchor's tokenizer cannot be read token by token: {undecoded}",
        "augments.kv: its tokenizer cannot be folded: it tokenizes by chance (dropout 0.5).",
    ]
    with pytest.raises(ComposeError) as caught:
        settle(both, {**pair, "tetum": pair["kv"]})
    lacks = "which the anchor's tokenizer does not have as a special token; it has 9, ?."
    assert str(caught.value).splitlines() == [
        f"augments.kv.template maps <x>, {lacks}",
        f"augments.tetum.template maps <y>, {lacks}",
    ]
