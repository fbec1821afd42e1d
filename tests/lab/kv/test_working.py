import random
import re

import pytest

from orchestra.lab.kv.expression import Expression, draw
from orchestra.lab.kv.working import CARRIES, answer, digits, restated, working

DRAWN = [draw(random.Random(seed), sizes=(1, 2, 3, 4, 5, 6)) for seed in range(400)]
EDGES = [
    Expression((1,), ()),
    Expression((1, 1), ("-",)),  # zero
    Expression((1, 2), ("-",)),  # minus one
    Expression((25_000,) * 6, ("+",) * 5),  # runs over its limb
    Expression((25_000,) * 6, ("*",) * 5),
    Expression((1, *(25_000,) * 5), ("-",) * 5),
    Expression((1, 20_000, 5, 1, 1), ("-", "*", "-", "+")),  # a whole limb below zero
]


@pytest.mark.parametrize("expression", EDGES, ids=str)
def test_a_working_ends_with_the_answer_at_the_edges(expression: Expression) -> None:
    assert answer("".join(working(expression))) == expression.value


def test_a_working_ends_with_the_answer() -> None:
    assert [answer("".join(working(one))) for one in DRAWN] == [one.value for one in DRAWN]


def test_a_working_begins_with_the_operands() -> None:
    expression = Expression((12_345, 7, 25_000), ("*", "-"))
    text = "".join(restated(expression))
    assert text == "{+a0}5a4b3c2d1e{*B}7a0b0c0d0e{-C0}0a0b0c5d2e"
    assert "".join(working(expression)).startswith(text)
    assert digits(12_345) == ["5a", "4b", "3c", "2d", "1e"]


def test_a_row_of_a_product_adds_what_stands_one_column_further_in_the_row_above() -> None:
    tokens = "".join(working(Expression((23_456, 9_876), ("*",))))
    rows = re.findall(r"\*(\d)[a-e]((?:·\d\d[a-e]\d.[a-e]){5}·00f\df)", tokens)
    assert [row[0] for row in rows] == list("67890")
    above = [0] * 5
    for by, row in rows:
        carry, found = 0, re.findall(r"·(\d\d)[a-e](\d)(.)[a-e]", row)
        for digit, (product, left, carried), old in zip((6, 5, 4, 3, 2), found, above, strict=True):
            assert int(product) == digit * int(by)
            carry, wanted = divmod(digit * int(by) + old + carry, 10)
            assert (int(left), "⁰¹²³⁴⁵⁶⁷⁸⁹".index(carried)) == (wanted, carry)
        above = [*(int(left) for _, left, _ in found[1:]), int(row[-2])]


def test_what_is_added_in_a_column_stands_eleven_tokens_before_the_sum() -> None:
    tokens = working(Expression((23_456, 9_876, 24_999), ("*", "*")))
    sums = [at for at, token in enumerate(tokens) if len(token) == 3 and token[1] in CARRIES]
    assert len(sums) == 75
    for at in sums:
        product, before = tokens[at - 1], tokens[at - 2]
        carry = 0 if before.startswith("*") else CARRIES.index(before[1])
        left = int(product[1:3]) + int(tokens[at - 11][0]) + carry
        assert tokens[at][:2] == f"{left % 10}{CARRIES[left // 10]}"


def test_each_line_of_a_sum_holds_the_sum_so_far() -> None:
    expression = Expression((20_007, 3, 24_999, 11), ("-", "-", "+"))
    text = "".join(working(expression)).split("{S0}")[1]
    lines = re.findall(r"(?:\{[+-].0\})((?:\d[⁼⁺].){5})~(-?\d)", text)
    found = [int(over) * 100_000 + int("".join(re.findall(r"\d", line))[::-1]) for line, over in lines]
    assert found == [20_007, 20_004, -4_995, -4_984]
    carries = ["".join(re.findall("[⁼⁺]", line)) for line, _ in lines]
    assert carries == ["⁼⁼⁼⁼⁼", "⁼⁼⁼⁼⁼", "⁺⁺⁺⁺⁺", "⁼⁼⁼⁼⁼"]


def test_a_limb_that_is_multiplied_is_copied_with_what_is_carried() -> None:
    text = "".join(working(Expression((25_000, 25_000, 7), ("*", "*"))))
    assert "[B0]0A0a0B0b0C0c5D0d2E0e*0a" in text
    assert "{+b0}0a0b0c0d0e{+b1}0a5b2c6d0e" in text
    assert "[C1]0A0a5B0b2C0c6D0d0E0e*7a" in text
    assert text.count("[") == 3


@pytest.mark.parametrize(
    "text", ["", "=+", "{R0}1a2b3c4d5e~0", "{R0}1a2b3c4d5e~0=-", "{R0}1a2b3c4d5e~0=-{N0}1⁼a2⁼b", "{R0}1a2b3c4d5e~0=+~1"]
)
def test_a_working_that_breaks_off_or_goes_astray_has_no_answer(text: str) -> None:
    assert answer(text) is None


def test_digits_of_an_answer_are_read_from_the_ones_on() -> None:
    assert answer("{R0}1a2b3c4d5e~0{R1}6a0b0c0d0e~2=+") == 20_000_654_321
    assert answer("{R0}1a2b3c4d5e~-1=-{N0}9⁺a7⁺b6⁺c5⁺d4⁺e~0") == -45_679
