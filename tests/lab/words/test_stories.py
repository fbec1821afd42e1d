import random
import re
from itertools import pairwise

import pytest

from orchestra.lab.words.lexicon import GAINS, LANGUAGES, LOSSES, NAMES, NOUNS, Language
from orchestra.lab.words.numerals import is_held_out
from orchestra.lab.words.phrases import PHRASES
from orchestra.lab.words.stories import Source, Story, story

SIGNS = {meaning.english: "+" for meaning in GAINS} | {meaning.english: "-" for meaning in LOSSES}


def stories(source: Source, count: int = 200) -> list[Story]:
    return [story(random.Random(seed), source) for seed in range(count)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_working_computes_and_each_step_goes_on_from_the_last(language: Language) -> None:
    sizes = set()
    for told in stories(Source(language=language, held_out=None)):
        steps = [re.fullmatch(r"(\d+) ([-+*]) (\d+) = (\d+)", step) for step in told.working.split(" ; ")]
        values = []
        for step in steps:
            assert step
            left, sign, right, value = int(step[1]), step[2], int(step[3]), int(step[4])
            assert value == {"+": left + right, "-": left - right, "*": left * right}[sign]
            assert 0 < value < 1000
            values.append((left, value))
        assert all(after[0] == before[1] for before, after in pairwise(values))
        sizes.add(len(steps))
    assert sizes == {1, 2, 3, 4}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_signs_are_those_of_the_verbs(language: Language) -> None:
    source = Source(language=language, held_out=None, allowed=lambda meaning: meaning.english != "leaves")
    for told in stories(source):
        verbs = [SIGNS[word.english] for word in told.words if word.english in SIGNS]
        signs: list[str] = re.findall(r" ([-+]) ", told.working)
        assert signs == verbs


def test_a_story_has_an_english_word_for_each_and_one_hero() -> None:
    for told in stories(Source(language="tetum")):
        assert len(told.text.split()) == len(told.english.split()) == len(told.words)
        assert len({word.text for word in told.words if word.text in NAMES}) == 1
        read, learnt = told.exercise
        assert (read.text, read.twin, read.learnt) == (f"{told.text} ", f"{told.english} ", False)
        assert (learnt.text, learnt.learnt) == (told.working, True)


def test_english_is_its_own_english() -> None:
    assert all(told.text == told.english for told in stories(Source(language="english", noise=0.5)))


def test_what_is_held_out_is_only_in_stories_that_want_it() -> None:
    for held_out in (True, False):
        source = Source(language="spanish", held_out=held_out)
        for kind in PHRASES["spanish"]:
            phrases = PHRASES["spanish"][kind]
            assert source.patterns(kind) == (phrases.held_out if held_out else phrases.seen)
        for told in stories(source, 50):
            numbers = set(map(int, re.findall(r"[-+*] (\d+) =", told.working)))
            assert held_out or not any(map(is_held_out, numbers))
    drawn = [Source(language="tetum", held_out=True).number(random.Random(seed), 5, 99) for seed in range(50)]
    assert all(map(is_held_out, drawn))


def test_a_number_that_cannot_be_held_out_is_another() -> None:
    assert Source(language="tetum", held_out=True).number(random.Random(0), 2, 9) in range(2, 10)


def test_only_allowed_words_are_drawn() -> None:
    allowed = {*NOUNS[:3], GAINS[0], LOSSES[0]}
    nouns = {noun.tetum for noun in NOUNS} | {verb.tetum for verb in (*GAINS, *LOSSES)}
    drawn = {
        word.text for told in stories(Source(language="tetum", allowed=allowed.__contains__)) for word in told.words
    }
    assert drawn & nouns == {meaning.tetum for meaning in allowed}


def test_noise_leaves_every_number_and_noun_where_a_sentence_has_one() -> None:
    plain = Source(language="english", noise=0.0)
    noisy = Source(language="english", noise=1.0)
    changed = 0
    for seed in range(100):
        told, blurred = story(random.Random(seed), plain), story(random.Random(seed), noisy)
        changed += told.text != blurred.text
        assert blurred.text.split().count("?") == 1
    assert changed > 90
