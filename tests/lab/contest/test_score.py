import pytest

from orchestra.lab.contest.score import chrf, gain, often, score

RIGHT = [f"message number {number} of {number * 7}" for number in range(23)]
HALF = [text if number % 2 else "nothing of it" for number, text in enumerate(RIGHT)]


def test_a_perfect_translation_has_all_and_is_sure_of_it() -> None:
    assert str(score(RIGHT, RIGHT)) == "100.0 [100.0, 100.0]"


def test_an_interval_holds_its_value_and_is_the_same_every_time() -> None:
    once, again = (score(HALF, RIGHT) for _ in range(2))
    assert once == again
    assert once.low < once.value < once.high
    assert once.value == pytest.approx(chrf(HALF, RIGHT))


def test_the_gain_of_a_row_over_itself_is_nothing() -> None:
    assert str(gain(HALF, HALF, RIGHT)) == "0.0 [0.0, 0.0]"


def test_a_gain_is_counted_on_the_same_sentences() -> None:
    more = gain(RIGHT, HALF, RIGHT)
    assert more.value == pytest.approx(100 - chrf(HALF, RIGHT))
    assert 0 < more.low < more.value < more.high


def test_how_often_is_said_in_words() -> None:
    assert [often(epochs) for epochs in (1, 2)] == ["once", "2 times"]
