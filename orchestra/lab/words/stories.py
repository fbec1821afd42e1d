"""Word problems: what happens, told in a language, with the same told in English word by word, and the working."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestra.lab.exercises import Exercise, Part
from orchestra.lab.words.lexicon import GAINS, LOSSES, NAMES, NOUNS, Language, Meaning
from orchestra.lab.words.numerals import Word, is_held_out, numeral
from orchestra.lab.words.phrases import PHRASES, Pattern, Phrases

Allowed = Callable[[Meaning], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What stories are made of.

    Attributes:
        allowed: which nouns and verbs.
        held_out: sentences and numbers that no bridge sees; default: the others. None: both.
        events: how many things may happen at most.
        noise: how many sentences out of all lose words and change their order.
    """

    language: Language
    allowed: Allowed = field(default=lambda _: True)
    held_out: bool | None = False
    events: int = 3
    noise: float = 0.0

    def meanings(self, which: Sequence[Meaning]) -> list[Meaning]:
        """The nouns or verbs that may be drawn."""
        return [meaning for meaning in which if self.allowed(meaning)]

    def patterns(self, kind: str) -> Sequence[Pattern]:
        """The sentences of a kind that may be drawn."""
        phrases: Phrases = PHRASES[self.language][kind]
        if self.held_out is None or not phrases.held_out:
            return phrases.seen + phrases.held_out
        return phrases.held_out if self.held_out else phrases.seen

    def number(self, rng: random.Random, low: int, high: int) -> int:
        """A number; one that is held out where there is one and it is wanted. None ends in 1, which Spanish bends."""
        every = [number for number in range(low, high + 1) if number % 10 != 1]
        wanted = [number for number in every if is_held_out(number) is self.held_out]
        return rng.choice(every if self.held_out is None or not wanted else wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A story and its answer, as words with their English."""

    words: tuple[Word, ...]
    working: str

    @property
    def text(self) -> str:
        """The story as it is read."""
        return " ".join(word.text for word in self.words)

    @property
    def english(self) -> str:
        """The same, every word in English, in the order of the language."""
        return " ".join(word.english for word in self.words)

    @property
    def exercise(self) -> Exercise:
        """What is read, with its twin, and what is learnt."""
        return (Part(f"{self.text} ", f"{self.english} "), Part(self.working, self.working, learnt=True))


def story(rng: random.Random, source: Source) -> Story:
    """Draw a story: something is there, things happen, and how many are left is asked."""
    telling = _Telling(rng, source)
    lines = telling.start()
    events = rng.randint(0 if telling.working else 1, source.events)
    other = rng.randint(0, events) if rng.random() < 0.4 else None
    for at in range(events + 1):
        lines += telling.event() if at else []
        lines += telling.other() if at == other else []
    lines += telling.say("ask")
    return Story(words=tuple(lines), working=" ; ".join(telling.working))


class _Telling:
    """A story as it is told; what is counted so far."""

    def __init__(self, rng: random.Random, source: Source) -> None:
        self.rng, self.source = rng, source
        self.value, self.working = 0, list[str]()
        nouns = rng.sample(source.meanings(NOUNS), 2)
        self.slots: dict[str, list[Word]] = {"{name}": [Word(name := rng.choice(NAMES), name)]}
        self.slots |= {"{noun}": self._word(nouns[0]), "{other}": self._word(nouns[1])}

    def start(self) -> list[Word]:
        """So many there are, or so many boxes with so many in each."""
        if self.rng.random() < 0.25:
            boxes, each = self._number("{k}", 2, 9), self._number("{n}", 2, 12)
            self._count(boxes, "*", each)
            return self.say("boxes")
        self.value = self._number("{n}", 5, 99)
        return self.say("has")

    def event(self) -> list[Word]:
        """Some come, or some go."""
        most = min(60, self.value - 1)
        gains = most < 2 or self.rng.random() < 0.5
        verb = self.rng.choice(self.source.meanings(GAINS if gains else LOSSES))
        self.slots["{verb}"] = self._word(verb)
        self._count(self.value, "+" if gains else "-", self._number("{n}", 2, 60 if gains else most))
        return self.say("event")

    def other(self) -> list[Word]:
        """Something else is there, too."""
        self._number("{m}", 2, 99)
        return self.say("other")

    def say(self, kind: str) -> list[Word]:
        """One sentence."""
        pattern = self.rng.choice(self.source.patterns(kind))
        if self.rng.random() < self.source.noise:
            pattern = _blurred(self.rng, pattern)
        return [word for part in pattern for word in self.slots.get(part.text, [part])]

    def _word(self, meaning: Meaning) -> list[Word]:
        return [Word(meaning.word(self.source.language), meaning.english)]

    def _number(self, slot: str, low: int, high: int) -> int:
        number = self.source.number(self.rng, low, high)
        self.slots[slot] = numeral(self.rng, number, self.source.language)
        return number

    def _count(self, left: int, sign: str, right: int) -> None:
        self.value = {"+": left + right, "-": left - right, "*": left * right}[sign]
        self.working.append(f"{left} {sign} {right} = {self.value}")


_LOOSE = tuple(
    sorted(
        {
            word.english
            for language in PHRASES.values()
            for phrases in language.values()
            for pattern in phrases.seen + phrases.held_out
            for word in pattern
            if word.english.isalpha()
        }
    )
)


def _blurred(rng: random.Random, pattern: Pattern) -> Pattern:
    """A sentence as one speaks who has just begun to learn: words missing, wrong, or in another order."""
    words = []
    for word in pattern:
        chance = rng.random()
        loose = word.text.isalpha()
        if not loose or chance > 0.3:
            words.append(word)
        elif chance < 0.12:
            words.append(Word(other := rng.choice(_LOOSE), other))
    for at in range(len(words) - 1):
        if {words[at].text, words[at + 1].text} in ({"{n}", "{noun}"}, {"{m}", "{other}"}) and rng.random() < 0.5:
            words[at], words[at + 1] = words[at + 1], words[at]
    for at in range(len(words) - 1):
        if rng.random() < 0.1 and "." not in (words[at].text, words[at + 1].text) and words[at + 1].text != "?":
            words[at], words[at + 1] = words[at + 1], words[at]
    return tuple(words)
