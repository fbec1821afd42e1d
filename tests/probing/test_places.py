"""Where in the anchor's tokens something is to be told."""

import json
import re
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from orchestra.errors import DataError
from orchestra.probing.places import Place, encode
from orchestra.probing.records import Record, read_records
from tests import mixed
from tests.tiny import words


def records(folder: Path, *lines: object) -> tuple[Path, list[Record]]:
    path = folder / "data.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return path, read_records(path)


def test_a_prompt_is_read_at_its_last_token_and_a_span_where_its_last_character_is(tmp_path: Path) -> None:
    spans = [{"start": 0, "end": 2, "label": "w9 w1"}, {"start": 3, "end": 4, "label": "w9"}]
    path, found = records(tmp_path, {"prompt": "w5 w7 w11", "completion": "w3 w4", "spans": spans})
    texts = encode(path, found, words(), max_length=None)
    assert texts.ids == ((5, 7, 11),)
    assert texts.places == (
        Place(row=0, kind="prompt", at=2, label="w3", goal=3),
        Place(row=0, kind="spans", at=0, label="w9 w1", goal=9),
        Place(row=0, kind="spans", at=1, label="w9", goal=9),
    )


def test_a_token_that_reaches_past_a_span_ends_it(tmp_path: Path) -> None:
    tokenizer = mixed.pieces(0)
    for end in range(1, 12):
        path, found = records(tmp_path, {"text": "abcde abcdea", "spans": [{"start": 0, "end": end, "label": "a"}]})
        [place] = encode(path, found, tokenizer, max_length=None).places
        offsets = tokenizer("abcde abcdea", return_offsets_mapping=True)["offset_mapping"]
        first, last = offsets[place.at]
        assert first < end <= last


def test_a_span_that_ends_in_a_character_of_several_tokens_is_read_at_the_last_of_them(tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(Path(__file__).parents[2] / "graphs/models/digits")
    path, found = records(tmp_path, {"text": "a é b", "spans": [{"start": 0, "end": 3, "label": "a"}]})
    texts = encode(path, found, tokenizer, max_length=None)
    assert tokenizer.decode(list(texts.ids[0][: texts.places[0].at + 1]), skip_special_tokens=True) == "a é"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ({"prompt": "", "completion": "w1"}, "'prompt' is empty; nothing stands there to be told."),
        ({"prompt": " ", "completion": "w1"}, "the text has no tokens."),
        ({"prompt": "w1", "completion": " "}, "'completion' has no tokens."),
        ({"prompt": "w1 w1 w1 w1", "label": "w1"}, "the text has 4 tokens, and the models read up to 3: shorten it."),
        (
            {"text": "w1 w2", "spans": [{"start": 2, "end": 3, "label": "w1"}]},
            "'spans.0.label' marks a span that no token of the anchor ends.",
        ),
        (
            {"text": "w1 ", "spans": [{"start": 2, "end": 3, "label": "w1"}]},
            "'spans.0.label' marks a span that no token of the anchor ends.",
        ),
    ],
)
def test_what_has_no_place_is_named(tmp_path: Path, line: dict[str, object], what: str) -> None:
    path = tmp_path / "data.jsonl"
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}: line 1: {what}')}$"):
        encode(*records(tmp_path, line), words(), max_length=3)
