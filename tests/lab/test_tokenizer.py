import hypothesis.strategies as st
import pytest
from hypothesis import given
from transformers import PreTrainedTokenizerFast

from orchestra.lab import tokenizer
from orchestra.lab.tokenizer import BEGIN_ID

WORDS = tokenizer.build()


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_survives_a_round_trip(text: str) -> None:
    assert WORDS.decode(WORDS.encode(text, add_special_tokens=False), skip_special_tokens=False) == text


@pytest.mark.parametrize("number", ["0", "7", "00", "57", "099", "396"])
def test_a_number_of_up_to_three_digits_is_one_token(words: PreTrainedTokenizerFast, number: str) -> None:
    assert len(words.encode(number, add_special_tokens=False)) == 1


def test_longer_numbers_are_cut_after_three_digits(words: PreTrainedTokenizerFast) -> None:
    assert words.convert_ids_to_tokens(words.encode("12345", add_special_tokens=False)) == ["123", "45"]


def test_letters_are_tokens_of_their_own(words: PreTrainedTokenizerFast) -> None:
    assert words.convert_ids_to_tokens(words.encode("<ab>", add_special_tokens=False)) == ["<", "a", "b", ">"]


def test_a_text_begins_with_the_begin_token(words: PreTrainedTokenizerFast) -> None:
    assert words.encode("1")[0] == BEGIN_ID
