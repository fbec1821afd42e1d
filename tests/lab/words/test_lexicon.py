from collections import Counter

import pytest

from orchestra.lab.words.lexicon import ANCHORS_SPANISH, GAINS, KINDS, KNOWN, LANGUAGES, LOSSES, NOUNS, Language
from orchestra.lab.words.vocabulary import words_of

EVERY = (*NOUNS, *GAINS, *LOSSES)


@pytest.mark.parametrize(("language", "shared"), [("tetum", []), ("spanish", []), ("english", ["leaves"])])
def test_no_two_meanings_share_a_word_but_leaves_which_fall_and_which_one_abandons(
    language: Language, shared: list[str]
) -> None:
    found = Counter(meaning.word(language) for meaning in EVERY)
    assert [word for word, count in found.items() if count > 1] == shared


def test_no_word_belongs_to_two_languages() -> None:
    found = Counter(word for language in LANGUAGES for word in set(words_of(language)))
    assert [word for word, count in found.items() if count > 1] == []


def test_bridges_meet_three_fifths_of_the_words_of_each_language_and_a_fifth_of_the_meanings_in_none() -> None:
    languages: tuple[Language, ...] = ("tetum", "spanish")
    for meanings in (NOUNS, GAINS, LOSSES):
        for language in languages:
            met = [meaning for meaning in meanings if KNOWN[meaning] in (language, "both")]
            assert 0.55 < len(met) / len(meanings) < 0.7
        nowhere = [meaning for meaning in meanings if KNOWN[meaning] == "neither"]
        assert 2 <= len(nowhere) <= 0.2 * len(meanings) + 1


def test_the_anchor_meets_half_of_the_spanish_nouns_and_verbs() -> None:
    for meanings in (NOUNS, GAINS, LOSSES):
        assert len(ANCHORS_SPANISH & set(meanings)) == len(meanings) // 2


def test_a_dictionary_tells_things_from_what_brings_more_and_what_leaves_fewer() -> None:
    assert Counter(KINDS.values()) == {"things": len(NOUNS), "more": len(GAINS), "fewer": len(LOSSES)}
