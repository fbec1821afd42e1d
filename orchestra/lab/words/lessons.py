"""What is learnt from and what is asked: which words, sentences and numbers each may hold."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from orchestra.lab.exercises import Exercise
from orchestra.lab.words.lexicon import ANCHORS_SPANISH, KNOWN, Language, Meaning
from orchestra.lab.words.settings import Settings
from orchestra.lab.words.stories import Source, Story, story

Foreign = Literal["tetum", "spanish"]
FOREIGN: tuple[Foreign, ...] = ("tetum", "spanish")


def anchors(settings: Settings, rng: random.Random, step: int) -> Exercise:
    """English, half of it badly spoken, and a little Spanish of which only some words are met."""
    events = 1 if step < settings.easy * settings.anchor.steps else settings.events
    if rng.random() < settings.spanish:
        source = Source(language="spanish", allowed=ANCHORS_SPANISH.__contains__, events=events)
    else:
        source = Source(language="english", held_out=None, events=events, noise=0.5)
    return story(rng, source).exercise


def bridges(settings: Settings, rng: random.Random, _: int = 0) -> Exercise:
    """Tetum and Spanish of the words, sentences and numbers that bridges may meet, and the fine-tuned anchor."""
    language = rng.choice(FOREIGN)
    allowed = partial(_met, language)
    return story(rng, Source(language=language, allowed=allowed, events=settings.events)).exercise


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One kind of questions.

    Attributes:
        title: as it stands in the table.
        new: whether sentences and numbers are those that no bridge saw.
        met: where bridges met the nouns and verbs.
    """

    title: str
    language: Language
    new: bool | None
    met: Literal["here", "elsewhere", "nowhere", "anywhere"]

    def story(self, rng: random.Random, settings: Settings) -> Story:
        """A story to ask about."""
        source = Source(language=self.language, allowed=self._allowed, held_out=self.new, events=settings.events)
        return story(rng, source)

    def _allowed(self, meaning: Meaning) -> bool:
        if self.met in ("here", "anywhere"):
            return self.met == "anywhere" or _met(self.language, meaning)
        nowhere = KNOWN[meaning] == "neither"
        return nowhere if self.met == "nowhere" else not (nowhere or _met(self.language, meaning))


def _met(language: str, meaning: Meaning) -> bool:
    return KNOWN[meaning] in (language, "both")


def columns() -> Mapping[str, Column]:
    """All kinds of questions by name."""
    found = {"english": Column(title="English", language="english", new=None, met="anywhere")}
    for language in FOREIGN:
        name = language.capitalize()
        rows = (
            ("seen", f"{name}, all as in training", False, "here"),
            ("new", f"{name}, new sentences and numbers", True, "here"),
            ("elsewhere", f"{name}, and words that bridges met in the other language only", True, "elsewhere"),
            ("nowhere", f"{name}, and words whose meaning bridges never met", True, "nowhere"),
        )
        for key, title, new, met in rows:
            found[f"{language}/{key}"] = Column(title=title, language=language, new=new, met=met)  # type: ignore[arg-type]
    return found


def stories(column: Column, settings: Settings, *, seed: str = "test") -> list[Story]:
    """The questions of a column, the same on every run."""
    rng = random.Random(f"{seed}/{column.title}")
    return [column.story(rng, settings) for _ in range(settings.questions)]
