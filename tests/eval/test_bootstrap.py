import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from lm_eval.api import metrics

from orchestra.eval.bootstrap import draws, interval

WORDS = ["the", "cat", "house", "is", "big", "small", "two", "books", "on", "a"]


def corpus(size: int) -> list[tuple[Any, Any]]:
    rng = random.Random(3)
    pairs = []
    for _ in range(size):
        gold = rng.choices(WORDS, k=rng.randint(3, 9))
        said = [word for word in gold if rng.random() < 0.7] or ["none"]
        pairs.append((" ".join(gold), " ".join(said)))
    return pairs


@pytest.mark.parametrize("aggregate", [metrics.bleu, metrics.chrf, metrics.chrfpp, metrics.ter])
@pytest.mark.parametrize("several", [False, True])
def test_a_corpus_drawn_again_scores_what_the_harness_says_of_it(aggregate: Any, several: bool) -> None:
    """Summed counts are a shortcut: a function that wraps the harness' own takes the long way."""
    items = corpus(13)
    if several:
        items = [([gold, f"{gold} too"], [said]) for gold, said in items]

    def anew(drawn: Sequence[Any]) -> float:
        return float(aggregate(drawn))

    short = draws(items, aggregate, times=7, seed=5)
    assert short == pytest.approx(draws(items, anew, times=7, seed=5), abs=1e-9)
    assert len(set(short)) > 1


def test_of_records_with_different_numbers_of_references_as_many_count_as_the_fewest_have() -> None:
    items = [([gold, f"{gold} too"], [said]) for gold, said in corpus(13)]
    ragged = [(golds[: 1 + at % 2], said) for at, (golds, said) in enumerate(items)]
    fewest = [(golds[:1], said) for golds, said in items]
    assert metrics.chrf(ragged) == metrics.chrf(fewest)
    assert draws(ragged, metrics.chrf, times=7, seed=5) == pytest.approx(draws(fewest, metrics.chrf, times=7, seed=5))


def test_a_mean_drawn_again_is_the_mean_of_what_is_drawn() -> None:
    items = [0.0, 1.0, 1.0, 0.0, 1.0]
    assert draws(items, metrics.mean, times=50, seed=2) == pytest.approx(
        draws(items, lambda some: sum(some) / len(some), times=50, seed=2)
    )


def test_other_aggregations_are_asked_anew() -> None:
    items = [(-3.0, 2), (-5.0, 4), (-1.0, 1)]
    drawn = draws(items, metrics.weighted_perplexity, times=200, seed=0)
    assert drawn.min() == pytest.approx(math.exp(1.0))
    assert drawn.max() == pytest.approx(math.exp(1.5))


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    items = [1.0] * 60 + [0.0] * 40
    low, high = interval(draws(items, metrics.mean, times=4000, seed=1))
    reach = 1.96 * math.sqrt(0.6 * 0.4 / 100)
    assert (low, high) == pytest.approx((0.6 - reach, 0.6 + reach), abs=0.012)


def test_pairs_drawn_alike_have_a_narrower_difference_than_pairs_drawn_apart() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(100).round()
    two = one.copy()
    two[:5] = 1 - two[:5]
    first = draws(list(one), metrics.mean, times=500, seed=7)
    alike, apart = (draws(list(two), metrics.mean, times=500, seed=seed) for seed in (7, 8))
    assert np.std(alike - first) < 0.5 * np.std(apart - first)


def test_a_seed_draws_the_same_and_another_something_else() -> None:
    items = [float(one) for one in range(17)]
    first, again, other = (draws(items, metrics.mean, times=5, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
