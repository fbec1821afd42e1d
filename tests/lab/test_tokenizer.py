import string

import hypothesis.strategies as st
import pytest
from hypothesis import given
from transformers import PreTrainedTokenizerFast

from orchestra.lab import tokenizer
from orchestra.lab.tokenizer import BEGIN_ID, END_ID, PAD_ID, SAID, UNKNOWN
from orchestra.runtime.stream import Reading, Stream

WORDS, CHARACTERS = tokenizer.build(), tokenizer.characters()


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


@given(text=st.text(alphabet=string.ascii_letters + string.digits + string.punctuation + " ", max_size=40))
def test_characters_are_tokens_and_no_text_holds_an_answer(text: str) -> None:
    assert CHARACTERS.tokenize(text) == list(text)


def test_what_is_no_printable_character_is_unknown(characters: PreTrainedTokenizerFast) -> None:
    assert characters.tokenize("a\u00e9\n") == ["a", UNKNOWN, UNKNOWN]


def test_every_number_is_one_token_to_answer_with(characters: PreTrainedTokenizerFast) -> None:
    assert len({characters.get_vocab()[answer] for answer in SAID}) == 100
    assert characters.tokenize(SAID[34]) == list("<|34|>")


def test_special_tokens_are_those_of_the_anchor(
    words: PreTrainedTokenizerFast, characters: PreTrainedTokenizerFast, word_pieces: PreTrainedTokenizerFast
) -> None:
    for one in (words, characters, word_pieces):
        ids = (one.pad_token_id, one.bos_token_id, one.eos_token_id)
        assert ids == (PAD_ID, BEGIN_ID, END_ID)
        assert one.encode("1")[0] == BEGIN_ID


def test_the_characters_of_an_atom_are_read_with_the_space_after_it(
    words: PreTrainedTokenizerFast, characters: PreTrainedTokenizerFast
) -> None:
    read = Reading(Stream(words, characters))
    read.read(words.encode("0x13 "))
    assert (read.held, characters.decode(read.ids[1:])) == ("", "0x13 ")
    assert read.counts[-1] - read.counts[-2] == 1  # the space shares its place with nothing
