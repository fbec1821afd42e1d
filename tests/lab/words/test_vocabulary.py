import random

from orchestra.lab.tokenizer import UNKNOWN
from orchestra.lab.words.lexicon import LANGUAGES
from orchestra.lab.words.stories import Source, story
from orchestra.lab.words.vocabulary import build


def test_every_word_of_a_story_is_a_token_and_no_word_is_unknown() -> None:
    words = build()
    unknown = words.get_vocab()[UNKNOWN]
    for language in LANGUAGES:
        for seed in range(50):
            told = story(random.Random(seed), Source(language=language, held_out=None, noise=0.5))
            ids = words(f"{told.text} {told.working}")["input_ids"]
            assert len(ids) == 1 + len(told.words) + len(told.working.split())
            assert unknown not in ids


def test_two_tokenizers_are_one() -> None:
    assert build().get_vocab() == build().get_vocab()
