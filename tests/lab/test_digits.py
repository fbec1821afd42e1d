import random

from orchestra.lab import digits
from orchestra.lab.measure import question_and_answer


def operands(step: int) -> set[int]:
    drawn = (digits.lesson(random.Random(seed), step)[0][0] for seed in range(200))
    return {1 + sum(character in "+-" for character in text) for text in drawn}


def test_lessons_grow_from_two_operands_to_four() -> None:
    assert operands(0) == {1, 2}
    assert operands(300) == {1, 2, 3}
    assert operands(800) == {1, 2, 3, 4}


def test_letters_come_only_after_the_numbers_are_learnt() -> None:
    early = "".join(digits.lesson(random.Random(seed), 1199)[0][0] for seed in range(100))
    late = "".join(digits.lesson(random.Random(seed), 1200)[0][0] for seed in range(100))
    assert not any(character.isalpha() for character in early)
    assert any(character.isalpha() for character in late)


def test_questions_have_two_to_four_operands_in_plain_digits() -> None:
    for seed in range(50):
        asked, answer = question_and_answer(digits.question(random.Random(seed), working=False))
        assert asked.count("+") + asked.count("-") in (1, 2, 3)
        assert eval(asked.rstrip("=")) == int(answer)
