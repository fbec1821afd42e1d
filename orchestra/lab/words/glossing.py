"""What the augment knows: the English of each Tetum and Spanish word, and what kind of word it is."""

import random
from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, Batch
from orchestra.lab.tokenizer import BEGIN_ID, END, END_ID, PAD_ID
from orchestra.lab.words.lexicon import KINDS, LANGUAGES
from orchestra.lab.words.numerals import Word
from orchestra.lab.words.stories import Source, story
from orchestra.lab.words.vocabulary import words_of

_KINDS = {word: kind for meaning, kind in KINDS.items() for word in (meaning.tetum, meaning.spanish)}
_SHARES = (0.1, 0.45, 0.45)  # of English, Tetum and Spanish
_KIND_SHARE = 0.3

Glossed = tuple[tuple[str, str]]
"""A text and its English, word by word."""


def glossed(rng: random.Random, *, events: int) -> Glossed:
    """A story and its English word by word: any words, sentences and numbers; a tenth of all is English."""
    language = rng.choices(LANGUAGES, _SHARES)[0]
    told = story(rng, Source(language=language, held_out=None, events=events))
    says = (_kind(rng, word) for word in told.words)
    return ((f"{told.text} {told.working}", f"{' '.join(says)} {told.working}"),)


def _kind(rng: random.Random, word: Word) -> str:
    """The English word, or what kind of word it is: so states of words of a kind have something in common."""
    return _KINDS.get(word.text, word.english) if rng.random() < _KIND_SHARE else word.english


def encode(tokenizer: PreTrainedTokenizerFast, rows: Sequence[Glossed]) -> Batch:
    """Token ids, and what is said at each: the English word where there is another one, else the end.

    What is said at a token is learnt as if it came next, though the text goes on otherwise.
    """
    made = []
    for ((text, english),) in rows:
        ids = [BEGIN_ID, *tokenizer.encode(text, add_special_tokens=False), END_ID]
        own = [BEGIN_ID, *tokenizer.encode(english, add_special_tokens=False), END_ID]
        says = [END_ID if here == there else there for here, there in zip(ids, own, strict=True)]
        made.append((ids, [IGNORED, *says[:-1]]))
    longest = max(len(ids) for ids, _ in made)
    return Batch(
        torch.tensor([ids + [PAD_ID] * (longest - len(ids)) for ids, _ in made]),
        torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in made]),
    )


def answers(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """What the augment answers with: English words, kinds of words, numbers that Spanish writes in one, the end."""
    vocabulary = tokenizer.get_vocab()
    return [
        vocabulary[word]
        for word in (*words_of("english"), *dict.fromkeys(KINDS.values()), *map(str, range(21, 30)), END)
    ]
