import random

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab import python, tetum
from orchestra.lab.batches import IGNORED
from orchestra.lab.domain import Domain
from orchestra.lab.recital import Recital, encode, recite
from orchestra.lab.tokenizer import END_ID, NUMBERS, PAD_ID, SAID
from orchestra.runtime.stream import Reading, Stream


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


def test_rows_do_not_depend_on_how_the_tokenizer_was_used_before(characters: PreTrainedTokenizerFast) -> None:
    recitals = ((("0x1f", None), (" ", 31)), (("ord('0')", None), (" ", 48)))
    before = encode(characters, recitals, answers=SAID)
    characters(["a", "abc"], padding=True)
    assert torch.equal(encode(characters, recitals, answers=SAID).ids, before.ids)


def labelled(tokenizer: PreTrainedTokenizerFast, recital: Recital, answers: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each token, and what is said after it; an empty string where nothing is learnt."""
    [ids], [labels], _ = encode(tokenizer, [recital], answers=answers)
    tokens = [str(tokenizer.convert_ids_to_tokens(index)) for index in ids.tolist()]
    said = [str(tokenizer.decode([label])) if label != IGNORED else "" for label in labels[1:].tolist()]
    return list(zip(tokens, said, strict=False))


def test_word_pieces_say_a_number_at_the_last_piece_of_the_word_before_the_space(
    word_pieces: PreTrainedTokenizerFast,
) -> None:
    recital = (("istoria", None), (" ", None), ("sanulu", None), (" ", 10), ("= ", None))
    said = labelled(word_pieces, recital, NUMBERS)
    assert said[5:] == [("##a", "<|end|>"), ("sanulu", "10"), ("=", "<|end|>")]
    assert [token for token, _ in said[1:6]] == ["i", "##s", "##tor", "##i", "##a"]
    assert [label for _, label in said[1:5]].count("<|end|>") <= 1


def test_a_space_without_a_token_takes_back_nothing(word_pieces: PreTrainedTokenizerFast) -> None:
    said = labelled(word_pieces, (("<ab", None), (">", 31), (" ", None)), NUMBERS)
    assert said[-1] == (">", "31")


def test_characters_say_a_number_at_the_space(characters: PreTrainedTokenizerFast) -> None:
    said = labelled(characters, (("0x1f", None), (" ", 31), ("- ", None)), SAID)
    assert said[4:] == [("f", "<|end|>"), (" ", "<|31|>"), ("-", ""), (" ", "<|end|>")]


@pytest.mark.parametrize("domain", [tetum.DOMAIN, python.DOMAIN], ids=lambda domain: domain.name)
def test_a_number_is_said_at_the_last_token_that_the_stream_commits_where_it_is_known(
    domain: Domain, request: pytest.FixtureRequest, words: PreTrainedTokenizerFast
) -> None:
    kind, answers = {"tetum": ("word_pieces", NUMBERS), "python": ("characters", SAID)}[domain.name]
    augment = request.getfixturevalue(kind)
    stream, rng = Stream(words, augment), random.Random(7)
    for _ in range(50):
        recital = recite(rng, domain, longest=5)
        [ids], [labels], _ = encode(augment, [recital], answers=answers)
        numbers = {index: label for index, label in enumerate(labels[1:].tolist()) if label not in (IGNORED, END_ID)}
        read, wanted = Reading(stream), {}
        read.read(words.encode(""))
        for text, value in recital:
            read.read(words.encode(text, add_special_tokens=False))
            if value is not None:
                wanted[read.counts[-1] - 1] = augment.get_vocab()[answers[value]]
        assert numbers == wanted
        read.close()
        assert [*read.ids, END_ID] == ids.tolist()
