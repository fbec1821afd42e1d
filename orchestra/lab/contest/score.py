"""chrF, and how sure it is: intervals of 95% over resampled sentences, of a row and of the difference of two."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics.chrf import CHRF

SAMPLES = 1000
"""How often sentences are drawn anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number and its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def chrf(outputs: Sequence[str], references: Sequence[str]) -> float:
    """ChrF of a corpus, as sacrebleu counts it."""
    return float(CHRF().corpus_score(list(outputs), [list(references)]).score)


def score(outputs: Sequence[str], references: Sequence[str]) -> Score:
    """ChrF with its interval."""
    drawn = sorted(chrf([outputs[i] for i in some], [references[i] for i in some]) for some in _samples(len(outputs)))
    return _score(chrf(outputs, references), drawn)


def gain(outputs: Sequence[str], others: Sequence[str], references: Sequence[str]) -> Score:
    """How much more chrF one row has than another, on the same sentences."""

    def difference(some: Sequence[int]) -> float:
        wanted = [references[i] for i in some]
        return chrf([outputs[i] for i in some], wanted) - chrf([others[i] for i in some], wanted)

    drawn = sorted(difference(some) for some in _samples(len(outputs)))
    return _score(difference(range(len(outputs))), drawn)


def _samples(size: int) -> list[list[int]]:
    draw = random.Random(0)
    return [draw.choices(range(size), k=size) for _ in range(SAMPLES)]


def _score(value: float, drawn: Sequence[float]) -> Score:
    edge = len(drawn) // 40
    return Score(value=value, low=drawn[edge], high=drawn[-1 - edge])
