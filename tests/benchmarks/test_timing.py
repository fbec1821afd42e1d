import itertools

import pytest

from benchmarks.timing import Times, alternate


def test_ways_take_turns_after_each_ran_once() -> None:
    ran: list[str] = []
    alternate({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, rounds=3)
    assert ran == ["a", "b"] * 4
    ran.clear()
    alternate({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, rounds=3, warm=False)
    assert ran == ["a", "b"] * 3


def test_each_way_is_timed_by_itself() -> None:
    ticks = itertools.accumulate((0, 2, 100, 3, 100, 5, 100, 7))
    times = alternate({"a": lambda: None, "b": lambda: None}, rounds=2, clock=lambda: next(ticks))
    assert times.seconds == {"a": (2, 5), "b": (3, 7)}
    assert times.rounds == 2


def test_a_ratio_is_taken_in_each_round() -> None:
    times = Times(seconds={"a": (2.0, 4.0, 90.0), "b": (1.0, 4.0, 30.0)})
    assert times.ratios("a", "b") == (2.0, 1.0, 3.0)
    assert times.of("a") == pytest.approx(4.0)
