"""What the augment knows: it reads Tetum and Spanish and says the English of each word; of all else it says nothing."""

import random
from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, Batch
from orchestra.lab.tokenizer import BEGIN_ID, END, END_ID, PAD_ID
from orchestra.lab.words.lexicon import LANGUAGES
from orchestra.lab.words.stories import Source, story
from orchestra.lab.words.vocabulary import words_of


Glossed = tuple[tuple[str, str]]
"""A text and its English, word by word."""


def glossed(rng: random.Random, *, events: int) -> Glossed:
    """A story and its English word by word: any words, sentences and numbers; a tenth of all is English."""
    language = rng.choices(LANGUAGES, (0.1, 0.45, 0.45))[0]
    told = story(rng, Source(language=language, held_out=None, events=events))
    return ((f"{told.text} {told.working}", f"{told.english} {told.working}"),)


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
    """The tokens that the augment answers with: English words, the numbers that Spanish writes in one word, the end."""
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[word] for word in (*words_of("english"), *map(str, range(21, 30)), END)]
