"""What a record may say, and how a malformed one is named."""

import json
import re
from pathlib import Path

import pytest

from orchestra.errors import DataError
from orchestra.probing.records import Mark, drawn, read_records, split

FORM = "a record is {'prompt', 'completion'} or {'text'}, with 'label' or 'spans'"


def write(folder: Path, *lines: object) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines), "utf-8")
    return path


def test_a_label_stands_in_for_a_completion_and_spans_beside_both(tmp_path: Path) -> None:
    span = {"start": 0, "end": 3, "label": "x"}
    path = write(
        tmp_path,
        {"prompt": "abc d", "completion": "e"},
        {"prompt": "abc d", "completion": "e", "label": "f", "spans": [span]},
        "",
        {"text": "abc d", "spans": [span]},
    )
    first, second, third = read_records(path)
    assert first.marks == (Mark(kind="prompt", end=None, label="e", line=1, field="completion"),)
    assert [(mark.kind, mark.end, mark.label) for mark in second.marks] == [("prompt", None, "f"), ("spans", 3, "x")]
    assert third.marks == (Mark(kind="spans", end=3, label="x", line=4, field="spans.0.label"),)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "is not JSON: Expecting property name enclosed in double quotes at column 2."),
        ("[1]", f"is [1]; {FORM}."),
        ({"prompt": "a", "lable": "b", "completion": "c"}, "unknown field 'lable'; did you mean 'label'?"),
        ({"completion": "b"}, f"'prompt' is missing; {FORM}."),
        ({"text": "a", "completion": "b"}, f"'text' stands beside 'completion'; {FORM}."),
        ({"prompt": "a", "label": 3}, "'label' is 3; it must be a string."),
        ('{"prompt": "a", "label": "1", "label": "2"}', "'label' stands twice; keep one of them."),
        ({"prompt": "a", "completion": ""}, "'completion' is empty; nothing stands there to be told."),
        ({"text": "a"}, "says nothing that could be told: give it a 'completion', a 'label' or 'spans'."),
        ({"text": "a", "spans": 1}, "'spans' is 1; it is a list of {'start', 'end', 'label'}."),
        (
            {"text": "a", "spans": [{"start": 0}]},
            "'spans.0' is {\"start\": 0}; a span is {'start', 'end', 'label'}.",
        ),
        (
            {"text": "a", "spans": [{"start": True, "end": 1, "label": "x"}]},
            "'spans.0.start' is true; it counts characters.",
        ),
        (
            {"text": "ab", "spans": [{"start": 1, "end": 3, "label": "x"}]},
            "'spans.0' goes from 1 to 3, and the text has 2 characters.",
        ),
        ({"text": 5, "spans": [{"start": 0, "end": 2, "label": "x"}]}, "'text' is 5; it must be a string."),
        (
            {"text": "ab", "spans": [{"start": 1, "end": 1, "label": "x"}]},
            "'spans.0' goes from 1 to 1, and the text has 2 characters.",
        ),
    ],
)
def test_what_is_wrong_is_named_by_line_and_field(tmp_path: Path, line: object, what: str) -> None:
    path = write(tmp_path, {"prompt": "a", "completion": "b"}, line)
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}: line 2: {what}')}$"):
        read_records(path)


def test_problems_past_the_twentieth_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, *["[]"] * 23)
    with pytest.raises(DataError) as error:
        read_records(path)
    lines = str(error.value).splitlines()
    assert (len(lines), lines[-1]) == (21, f"{path}: and 3 more problems.")


def test_a_file_without_records_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}: holds no record.')}$"):
        read_records(path)


def test_a_text_is_on_one_side_however_often_it_stands_there(tmp_path: Path) -> None:
    records = read_records(write(tmp_path, *({"prompt": f"p{index % 13}", "completion": "x"} for index in range(39))))
    seen, held = split(records, 0.25, seed=0)
    assert len(seen) + len(held) == 39
    assert {each.text for each in seen}.isdisjoint(each.text for each in held)
    assert len({each.text for each in held}) == 3
    assert split(records, 0.25, seed=1) != (seen, held)


def test_records_are_drawn_by_the_seed_and_stay_in_order(tmp_path: Path) -> None:
    records = read_records(write(tmp_path, *({"prompt": f"p{index}", "completion": "x"} for index in range(17))))
    some = drawn(records, 5, seed=0)
    assert len(some) == 5
    assert [each for each in records if each in some] == some
    assert drawn(records, 5, seed=1) != some
    assert drawn(records, 17, seed=0) == records
