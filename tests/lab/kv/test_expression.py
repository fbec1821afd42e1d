import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.lab.kv.expression import SIGNS, Expression, Term, draw


@given(st.lists(st.tuples(st.sampled_from(SIGNS), st.integers(1, 25_000)), min_size=1, max_size=6))
def test_the_value_is_that_of_the_same_expression_in_python(pairs: list[tuple[str, int]]) -> None:
    expression = Expression(tuple(number for _, number in pairs), tuple(sign for sign, _ in pairs[1:]))
    question = expression.written([str(number) for number in expression.numbers])
    assert question.endswith("=")
    assert expression.value == eval(question[:-1])  # digits and signs only


def test_terms_are_the_products_between_plus_and_minus() -> None:
    expression = Expression((2, 3, 5, 7, 11), ("*", "-", "*", "+"))
    assert expression.terms == (Term("+", 0, 1), Term("-", 2, 3), Term("+", 4, 4))
    assert expression.products == 2


@pytest.mark.parametrize("size", [3, 6])
def test_numbers_and_signs_are_drawn_from_all(size: int) -> None:
    rng = random.Random(0)
    drawn = [draw(rng, sizes=(size,)) for _ in range(2000)]
    signs = [sign for one in drawn for sign in one.signs]
    numbers = [number for one in drawn for number in one.numbers]
    assert all(abs(signs.count(sign) / len(signs) - 1 / 3) < 0.03 for sign in SIGNS)
    assert min(numbers) >= 1
    assert 24_000 < max(numbers) <= 25_000
    assert {len(one.numbers) for one in drawn} == {size}
