import random

from transformers import PreTrainedTokenizerFast

from orchestra.lab import python, tetum
from orchestra.lab.batches import IGNORED
from orchestra.lab.recital import encode, recite
from orchestra.lab.tokenizer import END_ID, PAD_ID


def test_what_is_known_at_the_end_of_a_piece_is_said_there_and_the_end_elsewhere(
    words: PreTrainedTokenizerFast,
) -> None:
    ids, labels, twins = encode(words, [(("0x2", None), (" ", 31), ("31", None)), (("abcdefgh", None),)])
    number = words.convert_tokens_to_ids("31")
    said = dict(zip(words.convert_ids_to_tokens(ids[0].tolist()), labels[0, 1:].tolist(), strict=False))
    assert said["\u0120"] == number  # the space
    assert said["31"] == END_ID
    assert said["2"] == END_ID
    assert twins is None
    assert ids[0, 7:].tolist() == [PAD_ID] * 3
    assert labels[0, 7:].tolist() == [IGNORED] * 3


def test_inside_a_piece_one_token_in_five_is_a_lesson_in_silence(words: PreTrainedTokenizerFast) -> None:
    _, labels, _ = encode(words, [(("a" * 26, None),)])
    assert labels.eq(END_ID).sum() == 1 + 5 + 1  # after the beginning, inside, and at the end


def test_without_silence_only_values_are_learnt(words: PreTrainedTokenizerFast) -> None:
    _, labels, _ = encode(words, [(("a" * 26, None), (">", 31), (" ", None))], silence=False)
    assert labels[labels != IGNORED].tolist() == [words.convert_tokens_to_ids("31")]


def test_an_answered_atom_comes_last_with_its_value() -> None:
    for seed in range(200):
        *_, before, last = recite(random.Random(seed), python.DOMAIN)
        if before[1] is not None and last[0].isdigit():
            assert last == (str(before[1]), None)


def test_recitals_hold_atoms_and_other_text() -> None:
    recitals = [recite(random.Random(seed), tetum.DOMAIN) for seed in range(100)]
    speaking = [any(value is not None for _, value in recital) for recital in recitals]
    assert 5 < speaking.count(False) < 50
