import random

import pytest
from num2words import num2words  # type: ignore[import-untyped]

from orchestra.lab.words.lessons import FOREIGN
from orchestra.lab.words.numerals import is_held_out, numeral

VALUES = {num2words(number): number for number in range(1, 20)} | {num2words(ten): ten for ten in range(20, 100, 10)}


def summed(words: list[str]) -> int:
    """A number that is said in parts, or in digits."""
    return sum(int(word) if word.isdigit() else VALUES[word] for word in words if word != "and")


@pytest.mark.parametrize(("language", "code"), [("tetum", "tet"), ("spanish", "es")])
def test_numerals_are_those_of_num2words_and_their_english_makes_the_same_number(language: str, code: str) -> None:
    for number in range(2, 100):
        words = numeral(random.Random(0), number, language)  # type: ignore[arg-type]
        assert " ".join(word.text for word in words) == num2words(number, lang=code)
        assert summed([word.english for word in words]) == number


def test_english_says_a_number_in_digits_and_in_words_with_and_without_and() -> None:
    ways = {" ".join(word.text for word in numeral(random.Random(seed), 34, "english")) for seed in range(50)}
    assert ways == {"34", "thirty four", "thirty and four"}
    assert all(
        summed([word.text for word in numeral(random.Random(seed), number, "english")]) == number
        for number in range(2, 100)
        for seed in range(5)
    )


def test_numbers_that_are_held_out_are_made_of_words_that_others_have() -> None:
    for language in FOREIGN:
        said: dict[bool, set[str]] = {True: set(), False: set()}
        for number in range(2, 100):
            said[is_held_out(number)] |= {word.text for word in numeral(random.Random(0), number, language)}
        assert said[True] < said[False]
    assert sum(map(is_held_out, range(100))) >= 20
