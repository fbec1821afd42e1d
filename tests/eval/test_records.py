import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestra.errors import DataError
from orchestra.eval.records import FORMS, read
from tests.eval.examples import COMPLETIONS, DOCSTRINGS, KEYS, PAIRS, PROBLEMS, PROGRAMS, jsonl

REAL: dict[str, list[dict[str, Any]]] = {
    "keys_substitution": KEYS,
    "keys_arithmetic": KEYS,
    "keys_digits": KEYS,
    "to_english": PAIRS,
    "word_problems": PROBLEMS,
    "code_completion": COMPLETIONS,
    "text_to_code": PROGRAMS,
    "code_to_text": DOCSTRINGS,
}


@pytest.mark.parametrize("task", FORMS)
def test_real_records_are_read_with_their_own_fields_and_no_others(task: str, tmp_path: Path) -> None:
    found = read(jsonl(tmp_path / "file.jsonl", REAL[task]), task)
    form = FORMS[task]
    assert [set(record) for record in found] == [{*form.fields, *(form.optional or {})}] * len(REAL[task])


def test_both_halves_of_mbpp_become_alike(tmp_path: Path) -> None:
    full, sanitized = read(jsonl(tmp_path / "file.jsonl", PROGRAMS), "text_to_code")
    assert full == {
        "text": "Write a function to find the shared elements of two tuples.",
        "code": PROGRAMS[0]["code"],
        "test_list": PROGRAMS[0]["test_list"],
        "test_setup_code": "",
        "test_imports": [],
    }
    assert sanitized["text"] == PROGRAMS[1]["prompt"]
    assert sanitized["test_imports"] == ["import math"]


def test_a_field_that_may_be_missing_may_be_null(tmp_path: Path) -> None:
    nulls = {**PROGRAMS[0], "test_setup_code": None, "test_imports": None}
    [found] = read(jsonl(tmp_path / "file.jsonl", [nulls]), "text_to_code")
    assert (found["test_setup_code"], found["test_imports"]) == ("", [])


def test_blank_lines_byte_order_marks_and_odd_line_ends_in_strings_are_no_records(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text('\ufeff{"source": "a\u2028b", "english": "c"}\r\n\n  \n', encoding="utf-8")
    assert read(path, "to_english") == [{"source": "a\u2028b", "english": "c"}]


@pytest.mark.parametrize(
    ("task", "record", "what"),
    [
        ("to_english", {"source": "a"}, "'english' is missing; a record of to_english has 'source', 'english'."),
        ("to_english", {"source": 3, "english": "b"}, "'source' must be a string; "),
        ("to_english", {"source": "a", "english": " "}, "'english' is empty; "),
        ("to_english", {"source": "a\ud800b", "english": "c"}, "'source' has '\\ud800', half a character; "),
        ("text_to_code", {**PROGRAMS[0], "test_imports": ["\udfff"]}, "'test_imports' has '\\udfff', half a charact"),
        ("to_english", ["a", "b"], "is no object; "),
        ("keys_digits", {"key": "a", "value": "7"}, "'value' must be an integer; "),
        ("keys_digits", {"key": "a", "value": True}, "'value' must be an integer; "),
        ("word_problems", {"question": "a", "answer": "72"}, "'answer' must end in '#### ' and a number; "),
        ("word_problems", {"question": "a", "answer": "#### many"}, "'answer' must end in '#### ' and a number; "),
        ("code_completion", {**COMPLETIONS[0], "entry_point": "f()"}, "'entry_point' must be the name of a function; "),
        ("text_to_code", {**PROGRAMS[0], "test_list": []}, "'test_list' is empty; "),
        ("text_to_code", {**PROGRAMS[0], "test_list": "assert True"}, "'test_list' must be a list of strings; "),
        ("text_to_code", {**PROGRAMS[0], "test_setup_code": 1}, "'test_setup_code' must be a string; "),
        ("code_to_text", {"code": "a", "docstring": "b"}, "'code_tokens' is missing; "),
    ],
)
def test_a_malformed_record_is_named_by_file_line_and_field(task: str, record: Any, what: str, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "file.jsonl", [REAL[task][0], record])
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}: line 2: {what}')}"):
        read(path, task)


def test_every_problem_is_named_at_once_and_the_many_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text("nonsense\n" + "{}\n" * 12)
    with pytest.raises(DataError) as caught:
        read(path, "to_english")
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith(f"{path}: line 1: is not JSON: Expecting value")
    assert lines[2].startswith(f"{path}: line 2: 'english' is missing")
    assert lines[-1] == f"{path}: and 5 more problems."


def test_a_key_that_stands_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "file.jsonl", [*KEYS, {"key": "<ab>", "value": 8}])
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: line 4: 'key' is '<ab>', as in line 2; "):
        read(path, "keys_digits")


def test_a_file_that_is_not_there_is_empty_or_no_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: cannot be read: No such file or directory.$"):
        read(path, "to_english")
    path.write_text("\n")
    message = f"{path}: has no records; one of to_english has 'source', 'english'."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read(path, "to_english")
    path.write_bytes(json.dumps(PAIRS[0]).encode("utf-16"))
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: cannot be read: it is not UTF-8 text.$"):
        read(path, "to_english")
