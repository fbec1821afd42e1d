import random

from orchestra.lab.batches import IGNORED
from orchestra.lab.tokenizer import END
from orchestra.lab.words import glossing
from orchestra.lab.words.lexicon import KINDS
from orchestra.lab.words.vocabulary import build

WORDS = build()


def said(text: str, english: str) -> list[str]:
    """What is said at each token of a text."""
    ids, labels, _ = glossing.encode(WORDS, [((text, english),)])
    assert ids.shape == labels.shape
    assert labels[0, 0] == IGNORED
    return list(WORDS.convert_ids_to_tokens(labels[0, 1:].tolist()))


def test_at_a_foreign_word_the_english_one_is_said_and_elsewhere_the_end() -> None:
    assert said("ana sosa karau tolu . 3", "ana buys buffaloes three . 3") == [
        END, END, "buys", "buffaloes", "three", END, END,
    ]  # fmt: skip


def test_three_times_in_ten_a_noun_or_verb_is_glossed_by_its_kind() -> None:
    kinds, words = 0, 0
    for seed in range(300):
        ((text, english),) = glossing.glossed(random.Random(seed), events=2)
        for word, gloss in zip(text.split(), english.split(), strict=True):
            if word in KIND_OF:
                words += 1
                kinds += gloss == KIND_OF[word]
    assert 0.27 < kinds / words < 0.33


KIND_OF = {word: kind for meaning, kind in KINDS.items() for word in (meaning.tetum, meaning.spanish)}


def test_everything_that_is_said_is_an_answer() -> None:
    answers = set(glossing.answers(WORDS))
    assert len(answers) == len(glossing.answers(WORDS))
    for seed in range(100):
        labels = glossing.encode(WORDS, [glossing.glossed(random.Random(seed), events=2)]).labels
        assert set(labels[labels != IGNORED].tolist()) <= answers
