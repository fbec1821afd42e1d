import random
import re

from orchestra.lab import digits
from orchestra.lab.measure import final, question_and_answer


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


def test_in_the_second_stage_the_last_number_of_an_operand_is_still_the_one_that_counts() -> None:
    for seed in range(300):
        *read, (answer, learnt) = digits.reading(random.Random(seed), 0)
        text = "\x1f".join(piece for piece, _ in read)
        operands = re.split(r"[+-]", text.replace("\x1f=", "").replace("\x1f:", "").rstrip("=:"))
        numbers = [int(re.findall(r"\d{1,3}", operand)[-1]) for operand in operands]
        signs = re.findall(r"[+-]", text)
        value = numbers[0] + sum(n if sign == "+" else -n for sign, n in zip(signs, numbers[1:], strict=True))
        assert learnt
        assert int(final(answer)) == value


def test_the_second_stage_has_words_code_and_numbers_in_the_place_of_spaces() -> None:
    drawn = [digits.reading(random.Random(seed), 0) for seed in range(300)]
    assert any(any(" " in text and text.islower() for text, _ in one) for one in drawn)
    pairs = [(one[at][0], one[at + 1][0]) for one in drawn for at in range(len(one) - 2)]
    assert any(number.isdigit() and sign in ("+ ", "- ") for number, sign in pairs)
    assert any(first.isdigit() and second.isdigit() for first, second in pairs)
