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


def mean(values: Sequence[float]) -> Interval:
    """A mean: of values that are all 0 or 1 with its Wilson interval, of others by the bootstrap."""
    if set(values) <= {0, 1}:
        return share(round(sum(values)), len(values))
    return _bootstrapped(values)


def gain(values: Sequence[float], others: Sequence[float]) -> Interval:
    """How much higher the mean of one row is than that of another, by the paired bootstrap over the same questions."""
    return _bootstrapped([value - other for value, other in zip(values, others, strict=True)])


def _bootstrapped(values: Sequence[float]) -> Interval:
    found = np.asarray(values, dtype=np.float64)
    draw = np.random.default_rng(0)
    means = [found[draw.integers(len(found), size=len(found))].mean() for _ in range(_SAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(value=float(found.mean()), low=float(low), high=float(high))
