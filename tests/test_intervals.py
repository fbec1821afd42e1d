import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.intervals import gain, mean, share


def test_a_share_has_wilsons_interval() -> None:
    found = share(8, 10)  # the textbook's example
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (0.8, 0.4902, 0.9433)


@given(st.integers(1, 50).flatmap(lambda asked: st.tuples(st.integers(0, asked), st.just(asked))))
def test_an_interval_holds_its_share_and_stays_a_share(counted: tuple[int, int]) -> None:
    found = share(*counted)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


def test_right_and_wrong_are_a_share_and_other_values_are_not() -> None:
    assert mean([True, False, True]) == share(2, 3)
    found = mean([0.5, 0.25, 0.5])
    assert found.value == pytest.approx(1.25 / 3)
    assert 0.25 <= found.low < found.value < found.high == 0.5


def test_nineteen_of_twenty_bootstrapped_intervals_hold_the_true_mean() -> None:
    draw = random.Random(0)
    held = 0
    for _ in range(40):
        found = mean([draw.gauss(3, 1) for _ in range(60)])
        held += found.low <= 3 <= found.high
    assert 35 <= held <= 40


def test_a_gain_is_surer_than_two_means_where_the_same_questions_are_hard_for_both() -> None:
    draw = random.Random(0)
    hard = [draw.gauss(0, 10) for _ in range(50)]
    found = gain([value + 1 for value in hard], hard)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
    assert gain(hard, [value + 1 for value in hard]).value == pytest.approx(-1)


def test_a_gain_needs_the_same_questions() -> None:
    with pytest.raises(ValueError, match="shorter"):
        gain([1.0, 0.0], [1.0])


def test_sums_over_many_count_as_many() -> None:
    found = mean([2.0, 12.0, 2.0], [1, 4, 1])  # 2, 3 and 2 each
    assert found.value == pytest.approx(16 / 6)
    assert 2 <= found.low < found.value < found.high <= 3
    assert gain([4.0, 12.0], [2.0, 4.0], [1, 4]).value == pytest.approx(2)
    same = gain([4.0, 12.0], [2.0, 4.0], [1, 4])
    assert (same.low, same.high) == pytest.approx((2, 2))
