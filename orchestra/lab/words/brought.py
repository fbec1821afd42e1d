"""Which words bridges bring: whether what the anchor reads at a foreign word is nearest to the English one."""

import random
from typing import Any

import torch
from torch import Tensor

from orchestra.lab.measure import Score
from orchestra.lab.words.lessons import Foreign
from orchestra.lab.words.lexicon import GAINS, KNOWN, LOSSES, NOUNS
from orchestra.lab.words.stories import Source, Story, story
from orchestra.lab.words.vocabulary import words_of
from orchestra.runtime.model import ComposedModel


@torch.no_grad()
def brought(model: ComposedModel, language: Foreign, *, stories: int = 200) -> dict[str, Score]:
    """By where bridges met a noun or verb: the words whose English is what the first layer gets, most times."""
    rng = random.Random(f"brought/{language}")
    told = [story(rng, Source(language=language, held_out=None)) for _ in range(stories)]
    groups = {meaning.word(language): KNOWN[meaning] for meaning in (*NOUNS, *GAINS, *LOSSES)}
    votes: dict[str, list[bool]] = {word: [] for word in groups}
    for one in told:
        for word, found in zip(one.words, _nearest(model, one), strict=True):
            if word.text in groups:
                votes[word.text].append(found == word.english)
    right = {word: 2 * sum(cast) > len(cast) for word, cast in votes.items() if cast}
    kinds = sorted(set(groups.values()))
    of = {kind: [hit for word, hit in right.items() if groups[word] == kind] for kind in kinds}
    return {kind: Score(right=sum(hits), asked=len(hits), guess=0.0) for kind, hits in of.items()}


def _nearest(model: ComposedModel, told: Story) -> list[str]:
    """The English word that is nearest to what the anchor's first layer gets at each word."""
    english = words_of("english")
    words: Any = model.tokenizer
    embed: Any = model.anchor.get_input_embeddings()
    table: Tensor = embed.weight[words.convert_tokens_to_ids(english)]
    inputs = words(told.text, return_tensors="pt").to(table.device)
    states = model(**inputs, output_hidden_states=True, use_cache=False).hidden_states[0][0, 1:].float()
    return [english[int(at)] for at in torch.cdist(states, table.float()).argmin(-1)]
