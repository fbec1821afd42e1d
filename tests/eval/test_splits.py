import re
from pathlib import Path
from typing import Any

import pytest

from orchestra.errors import EvalError
from orchestra.eval.splits import Given, from_file, from_keys, shipped, worth
from tests.eval.examples import KEYS, PAIRS, jsonl


def given(files: dict[str, Path]) -> Given:
    return {"files": {name: str(path) for name, path in files.items()}, "seed": 0, "shots": 0}


VALUES = {str(record["key"]): record["value"] for record in KEYS}


def test_a_task_reads_the_file_that_is_named_for_it_before_the_one_for_all(tmp_path: Path) -> None:
    own, other = jsonl(tmp_path / "own", PAIRS[:1]), jsonl(tmp_path / "other", PAIRS[1:])
    assert from_file(of="to_english", orchestra=given({"to_english": own, "": other}))["test"].to_list() == PAIRS[:1]
    assert from_file(of="to_english", orchestra=given({"": other}), version=1)["test"].to_list() == PAIRS[1:]


def test_a_task_without_a_file_says_how_to_name_one() -> None:
    message = "to_english reads a file of yours: name it by --data FILE, or --data to_english=FILE."
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        from_file(of="to_english", orchestra=given({"word_problems": Path("x")}))


def test_expressions_are_worth_what_python_says_and_read_alike_in_keys_and_digits(tmp_path: Path) -> None:
    asked = given({"": jsonl(tmp_path / "keys", KEYS)})
    rows = from_keys(of="keys_digits", orchestra=asked, questions=97)["test"].to_list()
    assert len(rows) == 97
    for row in rows:
        assert row["target"] == str(eval(row["digits"]))
        assert row["digits"].split(" ") == [str(VALUES.get(part, part)) for part in row["keys"].split(" ")]
    assert {len(row["keys"].split(" ")) for row in rows} == {5, 7, 9, 11}
    assert {part for row in rows for part in row["keys"].split(" ")[1::2]} == set("+-*")


def test_every_task_of_keys_asks_the_same_and_another_seed_something_else(tmp_path: Path) -> None:
    asked = given({"": jsonl(tmp_path / "keys", KEYS)})
    drawn = [from_keys(of=f"keys_{name}", orchestra=asked)["test"].to_list() for name in ("digits", "arithmetic")]
    written = from_keys(of="keys_substitution", orchestra=asked)["test"].to_list()
    assert [row | {"target": row["digits"]} for row in drawn[0]] == written
    assert drawn[0] == drawn[1] != from_keys(of="keys_digits", orchestra=asked | {"seed": 1})["test"].to_list()


def test_how_many_keys_and_which_signs_is_the_users_to_say(tmp_path: Path) -> None:
    asked = given({"": jsonl(tmp_path / "keys", KEYS)})
    rows = from_keys(of="keys_digits", orchestra=asked, operands=[2, 2], signs="-", questions=3)["test"].to_list()
    assert [row["keys"].split(" ")[1::2] for row in rows] == [["-"]] * 3
    message = (
        "--metadata: questions is 3, operands [2, 1], signs '-'; a positive number, two with the smaller first, and "
        "some of +-* are needed."
    )
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        from_keys(of="keys_digits", orchestra=asked, operands=[2, 1], signs="-", questions=3)


@pytest.mark.parametrize(
    "odd",
    [
        {"questions": "3"},
        {"questions": True},
        {"operands": 3},
        {"operands": [1, 2, 3]},
        {"operands": ["1", "2"]},
        {"signs": 3},
        {"signs": ""},
    ],
)
def test_metadata_of_another_kind_is_an_error_that_shows_it(odd: dict[str, Any], tmp_path: Path) -> None:
    asked = given({"": jsonl(tmp_path / "keys", KEYS)})
    ((name, value),) = odd.items()
    with pytest.raises(EvalError, match=rf"^--metadata: .*{name} (is )?{re.escape(repr(value))}[,;]"):
        from_keys(of="keys_digits", orchestra=asked, **odd)


def test_examples_have_a_quarter_of_the_keys_for_themselves(tmp_path: Path) -> None:
    keys = [{"key": f"<{letter}>", "value": number} for number, letter in enumerate("abcdefghi", start=11)]
    asked = given({"": jsonl(tmp_path / "keys", keys)})
    assert list(from_keys(of="keys_digits", orchestra=asked)["examples"]) == []
    found = from_keys(of="keys_digits", orchestra=asked | {"shots": 5}, questions=4)
    shown, questions = found["examples"].to_list(), found["test"].to_list()
    assert (len(shown), len(questions)) == (5, 4)
    for seed in range(5):
        drawn = from_keys(of="keys_digits", orchestra=asked | {"shots": 1, "seed": seed})
        apart, others = ({part for row in drawn[split] for part in row["keys"].split(" ")[::2]} for split in drawn)
        assert (len(apart), len(others)) in ((7, 2), (2, 7))
        assert not apart & others


def test_too_few_keys_for_examples_are_an_error(tmp_path: Path) -> None:
    asked = given({"": jsonl(tmp_path / "keys", KEYS)})
    message = (
        "keys_digits: num_fewshot is 2; examples need keys that are not asked about, and of 3 none can be spared: at "
        "least 8 are needed."
    )
    with pytest.raises(EvalError, match=f"^{re.escape(message)}$"):
        from_keys(of="keys_digits", orchestra=asked | {"shots": 2})


def test_products_go_first() -> None:
    assert worth([2, 3, 4, 5], "+*-") == 9
    assert worth([2, 3, 4, 5], "*-*") == -14
    assert worth([7], "") == 7


@pytest.mark.parametrize("name", ["digits", "kv", "tetum", "python", "mixed"])
def test_two_hundred_questions_ship_with_each_task_of_the_trio(name: str) -> None:
    rows = shipped(of=f"trio_{name}", version=1)["test"].to_list()
    assert len(rows) == 200
    assert all(row["prompt"].endswith(" =") and int(row["target"]) < 400 for row in rows)
