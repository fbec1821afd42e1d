"""How sure a score is: intervals of 95% over records that are drawn again, the same ones for every row.

A score is whatever the harness' aggregation makes of the records drawn: a mean, or a corpus' chrF worked out anew.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from lm_eval.api import metrics
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

Draws = NDArray[np.float64]
Aggregate = Callable[[Sequence[Any]], float]

_CORPUS: dict[Aggregate, Callable[[], Any]] = {
    metrics.bleu: BLEU,
    metrics.chrf: CHRF,
    metrics.chrfpp: lambda: CHRF(word_order=2),
    metrics.ter: TER,
}
"""What the harness counts over a whole corpus, with sacrebleu's own settings."""


def draws(items: Sequence[Any], aggregate: Aggregate, *, times: int, seed: int) -> Draws:
    """What an aggregation makes of records drawn again.

    Args:
        items: what the harness keeps of each record.
        seed: as many records with the same seed are the same records.
    """
    rng, score = np.random.default_rng(seed), _scorer(items, aggregate)
    return np.array([score(rng.integers(len(items), size=len(items))) for _ in range(times)])


def interval(drawn: Draws) -> tuple[float, float]:
    """The middle 95%."""
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _scorer(items: Sequence[Any], aggregate: Aggregate) -> Callable[[NDArray[np.int64]], float]:
    if aggregate is metrics.mean:
        values = np.array(items, dtype=np.float64)
        return lambda some: float(values[some].mean())
    if aggregate in _CORPUS:
        return _corpus_scorer(items, _CORPUS[aggregate]())
    return lambda some: float(aggregate([items[at] for at in some]))


def _corpus_scorer(items: Sequence[Any], metric: Any) -> Callable[[NDArray[np.int64]], float]:
    """Sums what sacrebleu has counted in each record once, as its own bootstrap does.

    Of records with different numbers of references, as many of each are read as the fewest have: so the harness does.
    """
    references = [[one] if isinstance(one, str) else list(one) for one, _ in items]
    answers = [one if isinstance(one, str) else one[0] for _, one in items]
    counted = np.array(metric._extract_corpus_statistics(answers, list(zip(*references, strict=False))))
    return lambda some: float(metric._compute_score_from_stats(counted[some].sum(0).tolist()).score)
