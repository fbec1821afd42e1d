"""Records: every malformed one is named by file, line and field, with what was found and what is allowed."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.errors import DataError
from orchestra.train.data import Problem, Record, read_records, refuse
from tests.train.conftest import Write

FORMS = "record is {'prompt', 'completion'} or {'text'}."
GOOD = {"prompt": "a", "completion": "b"}


def test_pairs_and_texts_are_read_with_their_lines_and_blank_lines_are_skipped(write: Write) -> None:
    records, problems = read_records(write(GOOD, "", {"text": "c d"}, "  "))
    assert records == [Record(line=1, prompt="a", target="b"), Record(line=3, prompt=None, target="c d")]
    assert problems == []


def test_a_prompt_may_be_empty(write: Write) -> None:
    assert read_records(write({"prompt": "", "completion": "b"}))[1] == []


def test_strings_keep_line_separators_and_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes('\ufeff{"text": "a\u2028b\u0085c"}\r\n'.encode())
    assert read_records(path) == ([Record(line=1, prompt=None, target="a\u2028b\u0085c")], [])


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        ('{"prompt": "a"', ["is not JSON: Expecting ',' delimiter at column 15."]),
        ('["a", "b"]', [f'is ["a", "b"]; a {FORMS}']),
        ("null", [f"is null; a {FORMS}"]),
        ("1" * 5000, [f"cannot be read; a {FORMS}"]),
        ("[" * 100_000, [f"cannot be read; a {FORMS}"]),
        ("{}", [f"'prompt' is missing; a {FORMS}", f"'completion' is missing; a {FORMS}"]),
        ('{"completion": "b"}', [f"'prompt' is missing; a {FORMS}"]),
        (
            '{"prompt": "a", "completions": "b"}',
            [
                f"unknown field 'completions'; did you mean 'completion'? A {FORMS}",
                f"'completion' is missing; a {FORMS}",
            ],
        ),
        ('{"prompt": "a", "completion": "b", "id": 7}', [f"unknown field 'id'; a {FORMS}"]),
        ('{"text": "a", "completion": "b"}', [f"'text' stands beside 'completion'; a {FORMS}"]),
        ('{"prompt": "a", "completion": "b", "prompt": "c"}', ["'prompt' stands twice; keep one of them."]),
        (
            '{"prompt": 5, "completion": null}',
            ["'prompt' is 5; it must be a string.", "'completion' is null; it must be a string."],
        ),
        ('{"text": {"a": 1}}', ["'text' is an object; it must be a string."]),
        ('{"prompt": "a", "completion": ""}', ["'completion' is empty; there is nothing to learn."]),
        ('{"text": ""}', ["'text' is empty; there is nothing to learn."]),
        ('{"text": "a\\ud800"}', ["'text' holds half of a surrogate pair; it must be Unicode text."]),
    ],
)  # fmt: skip
def test_a_malformed_record_is_named_by_line_and_field(write: Write, line: str, problems: list[str]) -> None:
    records, found = read_records(write(GOOD, line))
    assert [record.line for record in records] == [1]
    assert found == [Problem(line=2, what=what) for what in problems]


def test_a_long_value_is_shown_in_part(write: Write) -> None:
    _, found = read_records(write(json.dumps({"text": ["a" * 100]})))
    assert found[0].what == f"""'text' is ["{"a" * 55}...; it must be a string."""


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = f"{tmp_path}/none.jsonl: cannot be read: No such file or directory."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_records(tmp_path / "none.jsonl")


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "\xff"}\n')
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}: line 2: is not UTF-8 text: byte 0xff.')}$"):
        read_records(path)


def test_twenty_problems_are_listed_by_line_and_the_others_counted() -> None:
    with pytest.raises(DataError) as caught:
        refuse(Path("f"), [Problem(line=line, what="is bad.") for line in range(23, 0, -1)])
    lines = str(caught.value).splitlines()
    assert lines == [*(f"f: line {line}: is bad." for line in range(1, 21)), "f: and 3 more problems."]


def test_no_problem_is_no_error() -> None:
    refuse(Path("f"), [])


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FIELDS = st.dictionaries(st.sampled_from(["prompt", "completion", "text", "other"]), st.text() | JSON)


@given(found=FIELDS | JSON)
def test_any_json_is_a_record_or_is_told_what_is_wrong(tmp_path_factory: pytest.TempPathFactory, found: object) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text(json.dumps(found), encoding="utf-8")
    records, problems = read_records(path)
    assert len(records) == (0 if problems else 1)
    if records:
        assert isinstance(found, dict)
        assert set(found) in ({"prompt", "completion"}, {"text"})
        assert all(isinstance(value, str) for value in found.values())
