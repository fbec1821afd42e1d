from decimal import Decimal

import pytest

from orchestra.eval.answers import (
    completes,
    docstring,
    final,
    final_number,
    gold_number,
    number,
    program,
    solves,
    spelled,
)
from tests.eval.examples import COMPLETIONS, DOCSTRINGS, PROBLEMS, PROGRAMS

FULL = {"test_imports": [], "test_setup_code": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("She has 72 apples.", "72"),
        ("The answer is 1,200.", "1200"),
        ("#### 1,000", "1000"),
        ("It costs $18.50.", "18.50"),
        ("It costs -$3", "-3"),
        ("so x = -5", "-5"),
        ("so x = \u22125", "-5"),
        ("10-3", "3"),
        ("10 - 3", "3"),
        ("(10)-3", "3"),
        ("the numbers 1,2,3", "3"),
        (".5", "0.5"),
        ("50%", "50"),
        ("1,234,567.25 dollars", "1234567.25"),
    ],
)
def test_the_last_number_is_found_however_it_is_written(text: str, value: str) -> None:
    assert final_number(text) == Decimal(value)


def test_where_there_is_no_number_there_is_none() -> None:
    assert final_number("none at all.") is None
    assert gold_number("72") is None
    assert gold_number("#### none") is None
    assert number({"answer": "#### 1"}, ["none"]) == {"exact_match": 0.0}


def test_a_word_problem_is_right_by_value_and_not_by_spelling() -> None:
    right = [f"{PROBLEMS[1]['answer']}", "It is 1000", "$1,000.00", "700, no: 1000."]
    assert [number(PROBLEMS[1], [one])["exact_match"] for one in right] == [1.0] * 4
    assert number(PROBLEMS[1], ["1000 or 1001"]) == {"exact_match": 0.0}


@pytest.mark.parametrize(
    ("said", "right"), [(" 46", 1.0), ("12+34=46\n99", 1.0), ("46 =", 0.0), ("\n46", 1.0), ("", 0.0), ("4 6", 0.0)]
)
def test_an_answer_is_what_stands_last_in_its_first_line(said: str, right: float) -> None:
    assert final({"target": "46"}, [said]) == {"exact_match": right}


@pytest.mark.parametrize(
    ("said", "right"),
    [("12+ 34 *5", 1.0), ("12+34*5=12+170=182", 1.0), (" 12 + 34 * 5\n", 1.0), ("12 + 34", 0.0), ("", 0.0)],
)
def test_a_substitution_is_right_whatever_its_blanks(said: str, right: float) -> None:
    assert spelled({"target": "12 + 34 * 5"}, [said]) == {"exact_match": right}


@pytest.mark.parametrize("record", COMPLETIONS, ids=lambda record: record["task_id"])
def test_a_completion_passes_by_the_records_own_test(record: dict[str, str]) -> None:
    assert completes(record, [record["canonical_solution"]]) == {"pass@1": 1.0}
    assert completes(record, ["    return None\n"]) == {"pass@1": 0.0}
    assert completes(record, ["    pass\n    import sys; sys.exit(0)\n"]) == {"pass@1": 0.0}


def test_a_program_passes_by_the_records_asserts() -> None:
    full, sanitized = {**FULL, **PROGRAMS[0]}, {**FULL, **PROGRAMS[1]}
    assert solves(full, [str(full["code"])]) == {"pass@1": 1.0}
    assert solves(full, ["def shared(one, two): return ()"]) == {"pass@1": 0.0}
    assert solves(sanitized, ["def root(n): return math.isqrt(n)"]) == {"pass@1": 1.0}
    assert solves({**full, "test_setup_code": "raise ValueError"}, [str(full["code"])]) == {"pass@1": 0.0}


def test_a_program_in_fences_is_taken_out_of_them() -> None:
    assert program("Here it is:\n```python\nx = 1\n```\nand ```y = 2```") == "x = 1\n"
    assert program("x = 1") == "x = 1"
    assert program("```\nx = 1") == "x = 1"


def test_a_docstring_is_written_in_single_blanks() -> None:
    assert docstring(DOCSTRINGS[1]) == "[internal] all ids [sic]"
