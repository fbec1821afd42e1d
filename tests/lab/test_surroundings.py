import random
import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from orchestra.lab.surroundings import code, letters, surrounded, words


@given(seed=st.integers(0, 2**32), number=st.integers(0, 99))
def test_the_number_that_counts_is_the_last_of_its_surroundings(seed: int, number: int) -> None:
    text = surrounded(random.Random(seed), number)
    assert re.findall(r"\d+", text)[-1] == str(number)
    assert not set(text) & set("+-=:")


@pytest.mark.parametrize("text", [words, code])
def test_nothing_around_a_number_joins_or_ends_an_expression(text: object) -> None:
    assert callable(text)
    for seed in range(300):
        assert not set("".join(text(random.Random(seed)))) & set("+-=:")


@pytest.mark.parametrize("text", [words, code])
def test_numbers_stand_among_words_and_code_as_pieces_of_their_own(text: object) -> None:
    assert callable(text)
    pieces = [piece for seed in range(300) for piece in text(random.Random(seed))]
    assert any(piece.isdigit() for piece in pieces)
    assert all(piece.isdigit() or not re.search(r"\d", piece) for piece in pieces)


def test_letters_are_small_and_not_too_many() -> None:
    drawn = [letters(random.Random(seed), 4) for seed in range(100)]
    assert {len(text) for text in drawn} == {1, 2, 3, 4}
    assert all(text.islower() for text in drawn)
