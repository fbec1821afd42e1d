import random

import hypothesis.strategies as st
from hypothesis import given

from orchestra.lab.expressions import Expression, ask, draw

EXPRESSIONS = st.integers(0, 2**32).map(lambda seed: draw(random.Random(seed), sizes=(1, 2, 3, 4)))


@given(expression=EXPRESSIONS)
def test_the_value_is_what_python_says(expression: Expression) -> None:
    assert expression.value == eval(expression.written(str))


@given(expression=EXPRESSIONS)
def test_every_step_of_the_working_has_the_same_value_and_the_last_is_the_value(expression: Expression) -> None:
    steps = expression.working.split("=")
    assert [eval(step) for step in steps] == [expression.value] * len(expression.numbers)
    assert steps[-1] == str(expression.value)


def test_the_working_does_one_operation_at_a_time() -> None:
    assert Expression((12, 45, 7), ("+", "-")).working == "12+45-7=57-7=50"


def test_the_working_goes_on_from_a_negative_number() -> None:
    assert Expression((1, 5, 7), ("-", "+")).working == "1-5+7=-4+7=3"


def test_an_expression_is_asked_with_and_without_working() -> None:
    expression = Expression((1, 2), ("+",))
    assert ask("a+b", expression, working=False) == (("a+b=", False), ("3", True))
    assert ask("a+b", expression, working=True) == (("a+b:", False), ("1+2=3", True))


def test_operands_can_be_written_with_spaces_around_the_signs() -> None:
    assert Expression((1, 2), ("-",)).joined(["<a>", "<b>"], spaced=True) == "<a> - <b>"
