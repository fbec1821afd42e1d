import random

import pytest

from orchestra.lab.words.lessons import FOREIGN, Foreign, anchors, bridges, columns, stories
from orchestra.lab.words.lexicon import ANCHORS_SPANISH, GAINS, KNOWN, LOSSES, NOUNS
from orchestra.lab.words.numerals import NUMERALS
from orchestra.lab.words.phrases import PHRASES
from orchestra.lab.words.settings import SMALL
from orchestra.lab.words.vocabulary import words_of

EVERY = (*NOUNS, *GAINS, *LOSSES)
READ = {
    who: {
        word for seed in range(2000) for word in lesson(SMALL, random.Random(seed), SMALL.anchor.steps)[0].text.split()
    }
    for who, lesson in (("anchor", anchors), ("bridges", bridges))
}


def test_the_anchor_reads_no_tetum_and_of_spanish_its_half_of_the_nouns_and_verbs() -> None:
    assert not READ["anchor"] & set(words_of("tetum"))
    assert READ["anchor"] & {meaning.spanish for meaning in EVERY} == {meaning.spanish for meaning in ANCHORS_SPANISH}


def test_bridges_read_every_noun_and_verb_that_they_may_meet_and_no_other_and_no_english() -> None:
    for meaning in EVERY:
        for language in FOREIGN:
            assert (meaning.word(language) in READ["bridges"]) is (KNOWN[meaning] in (language, "both"))
    assert not READ["bridges"] & set(words_of("english"))


@pytest.mark.parametrize("language", FOREIGN)
def test_words_that_stand_in_new_sentences_only_are_not_read_by_bridges(language: Foreign) -> None:
    phrases = PHRASES[language].values()
    seen = {word.text for kind in phrases for pattern in kind.seen for word in pattern}
    held_out = {word.text for kind in phrases for pattern in kind.held_out for word in pattern}
    only = held_out - seen - set(NUMERALS[language])
    assert only
    assert not READ["bridges"] & only


def test_the_first_stories_of_the_anchor_are_short() -> None:
    long = [
        max(anchors(SMALL, random.Random(seed), step)[1].text.count("=") for seed in range(99)) for step in (0, 999)
    ]
    assert long == [2, 3]


@pytest.mark.parametrize(
    ("kind", "known"),
    [("seen", {"tetum", "both"}), ("new", {"tetum", "both"}), ("elsewhere", {"spanish"}), ("nowhere", {"neither"})],
)
def test_a_column_asks_about_the_words_that_it_says(kind: str, known: set[str]) -> None:
    groups = {meaning.tetum: KNOWN[meaning] for meaning in EVERY}
    told = stories(columns()[f"tetum/{kind}"], SMALL)
    assert {groups[word.text] for one in told for word in one.words if word.text in groups} == known


def test_questions_are_the_same_on_every_run_and_differ_between_columns() -> None:
    asked = {key: stories(column, SMALL) for key, column in columns().items()}
    assert asked == {key: stories(column, SMALL) for key, column in columns().items()}
    assert len({one.text for told in asked.values() for one in told}) > 0.9 * len(asked) * SMALL.questions
