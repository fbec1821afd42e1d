"""How sure a mean is: 95% intervals of shares, of means, and of what one row has over another on the same questions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number, and where it lies with 95% confidence."""

    value: float
    low: float
    high: float


def share(right: int, asked: int) -> Interval:
    """The share of right answers, with its Wilson interval."""
    z, p = 1.959964, right / asked
    middle = (p + z * z / (2 * asked)) / (1 + z * z / asked)
    reach = z / (1 + z * z / asked) * math.sqrt(p * (1 - p) / asked + z * z / (4 * asked * asked))
    return Interval(value=p, low=max(0.0, middle - reach), high=min(1.0, middle + reach))


def mean(values: Sequence[float], weights: Sequence[float] | None = None) -> Interval:
    """A mean: of values that are all 0 or 1 with its Wilson interval, of others by the bootstrap.

    Args:
        weights: of each value, as of a loss per token the tokens; values are then sums over that many.
    """
    if weights is None and set(values) <= {0, 1}:
        return share(round(sum(values)), len(values))
    return _bootstrapped(values, weights)


def gain(values: Sequence[float], others: Sequence[float], weights: Sequence[float] | None = None) -> Interval:
    """How much higher the mean of one row is than that of another, by the paired bootstrap over the same questions."""
    return _bootstrapped([value - other for value, other in zip(values, others, strict=True)], weights)


def _bootstrapped(values: Sequence[float], weights: Sequence[float] | None) -> Interval:
    found = np.asarray(values, dtype=np.float64)
    sizes = np.ones_like(found) if weights is None else np.asarray(weights, dtype=np.float64)
    draw = np.random.default_rng(0)
    drawn = [draw.integers(len(found), size=len(found)) for _ in range(_SAMPLES)]
    low, high = np.quantile([found[some].sum() / sizes[some].sum() for some in drawn], (0.025, 0.975))
    return Interval(value=float(found.sum() / sizes.sum()), low=float(low), high=float(high))
