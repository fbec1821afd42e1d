import pytest

from orchestra.lab.words.lessons import FOREIGN
from orchestra.lab.words.lexicon import LANGUAGES, Language
from orchestra.lab.words.phrases import PHRASES
from orchestra.lab.words.vocabulary import words_of

SLOTS = {
    "has": {"{name}", "{noun}", "{n}"},
    "boxes": {"{name}", "{noun}", "{n}", "{k}"},
    "event": {"{verb}", "{n}", "{noun}"},
    "other": {"{other}", "{m}"},
    "ask": {"{noun}"},
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_has_the_slots_of_its_kind(language: Language) -> None:
    assert set(PHRASES[language]) == set(SLOTS)
    for kind, phrases in PHRASES[language].items():
        for pattern in phrases.seen + phrases.held_out:
            slots = [word.text for word in pattern if word.text.startswith("{")]
            assert SLOTS[kind] <= set(slots) <= SLOTS[kind] | {"{name}"}
            assert len(slots) == len(set(slots)), pattern
            assert pattern[-1].text == ("?" if kind == "ask" else ".")


@pytest.mark.parametrize("language", ["tetum", "spanish"])
def test_every_foreign_word_has_an_english_one_that_the_anchor_reads(language: Language) -> None:
    english = set(words_of("english"))
    for phrases in PHRASES[language].values():
        assert phrases.held_out
        assert not set(phrases.seen) & set(phrases.held_out)
        for pattern in phrases.seen + phrases.held_out:
            assert {word.english for word in pattern if word.text[0].isalpha()} <= english
            assert [word.text for word in pattern if word.text[0].isalpha() and word.text == word.english] == []


def test_all_english_glosses_stand_in_english_sentences() -> None:
    own = {word.text for kind in PHRASES["english"].values() for pattern in kind.seen for word in pattern}
    glosses = {
        word.english
        for language in FOREIGN
        for kind in PHRASES[language].values()
        for pattern in kind.seen + kind.held_out
        for word in pattern
    }
    assert glosses - own == set()
