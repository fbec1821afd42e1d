"""chrF, and how sure it is: intervals of 95% over resampled texts, of a row and of the difference of two."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics.chrf import CHRF

SAMPLES = 1000
"""How often texts are drawn anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A number and its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


def often(epochs: int) -> str:
    """How often records are read, in words."""
    return "once" if epochs == 1 else f"{epochs} times"


def rounded(score: Score) -> dict[str, float]:
    """As JSON values."""
    return {key: round(value, 2) for key, value in asdict(score).items()}


def chrf(outputs: Sequence[str], references: Sequence[str]) -> float:
    """ChrF of a corpus, as sacrebleu counts it."""
    return float(CHRF().corpus_score(list(outputs), [list(references)]).score)


def score(outputs: Sequence[str], references: Sequence[str]) -> Score:
    """ChrF with its interval."""
    counted = _Counted(outputs, references)
    return _score(chrf(outputs, references), [counted(some) for some in _samples(len(outputs))])


def gain(outputs: Sequence[str], others: Sequence[str], references: Sequence[str]) -> Score:
    """How much more chrF one row has than another, on the same texts."""
    ours, theirs = _Counted(outputs, references), _Counted(others, references)
    drawn = [ours(some) - theirs(some) for some in _samples(len(outputs))]
    return _score(chrf(outputs, references) - chrf(others, references), drawn)


class _Counted:
    """ChrF of any draw of texts; what sacrebleu counts in each text is counted once (2.6; it has no public name)."""

    def __init__(self, outputs: Sequence[str], references: Sequence[str]) -> None:
        self._metric: Any = CHRF()
        self._texts = self._metric._extract_corpus_statistics(list(outputs), [list(references)])

    def __call__(self, some: Sequence[int]) -> float:
        return float(self._metric._aggregate_and_compute([self._texts[at] for at in some]).score)


def _samples(size: int) -> list[list[int]]:
    draw = random.Random(0)
    return [draw.choices(range(size), k=size) for _ in range(SAMPLES)]


def _score(value: float, drawn: Sequence[float]) -> Score:
    ordered, edge = sorted(drawn), len(drawn) // 40
    return Score(value=value, low=ordered[edge], high=ordered[-1 - edge])
