"""Linear maps out of states: ridge regression, fitted on some texts and scored on others, with bootstrap intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = tuple(10.0**power for power in range(-5, 4))
"""Times the number of rows; chosen on a fifth of the texts that are fitted on."""
_FIFTH = 5


class Ridge:
    """Regression from states that are centred and scaled channel by channel; one decomposition serves all targets.

    Args:
        states: ``(rows, width)``.
    """

    def __init__(self, states: Tensor) -> None:
        inputs = states.double()
        self._middle, self._scale = inputs.mean(0), inputs.std(0, correction=0).clamp_min(1e-6)
        self._inputs = self._standard(inputs)
        rows, width = inputs.shape
        self._rows, self._wide = rows, width > rows
        gram = self._inputs @ self._inputs.T if self._wide else self._inputs.T @ self._inputs
        values, self._vectors = torch.linalg.eigh(gram)
        self._values = values.clamp_min(0)

    def _standard(self, states: Tensor) -> Tensor:
        return (states.double() - self._middle) / self._scale

    def predict(self, fresh: Tensor, targets: Tensor, penalties: Sequence[float]) -> list[Tensor]:
        """What a fit to targets makes of fresh states, for each penalty.

        Args:
            fresh: ``(fresh, width)``.
            targets: ``(rows, d_target)``, of the states that the ridge was made of.
        """
        middle = targets.double().mean(0)
        centred, reads = targets.double() - middle, self._standard(fresh)
        if self._wide:
            left, right = reads @ self._inputs.T @ self._vectors, self._vectors.T @ centred
        else:
            left, right = reads @ self._vectors, self._vectors.T @ (self._inputs.T @ centred)
        return [middle + left @ (right / (self._values + each * self._rows)[:, None]) for each in penalties]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Which rows are fitted on; of these, which choose a penalty.

    Attributes:
        fit, held: indices of rows.
        inner, choosing: indices into `fit`.
    """

    fit: Tensor
    held: Tensor
    inner: Tensor
    choosing: Tensor


def divided(texts: Tensor, is_held: Tensor, *, seed: int) -> Split:
    """Rows by what they are for; rows of one text stay together.

    Args:
        texts: the text of each row.
        is_held: which rows are scored on.
    """
    fit, held = (~is_held).nonzero().flatten(), is_held.nonzero().flatten()
    names, own = texts[fit].unique(return_inverse=True)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    choosing = torch.isin(own, order[: max(1, len(names) // _FIFTH)])
    return Split(fit=fit, held=held, inner=(~choosing).nonzero().flatten(), choosing=choosing.nonzero().flatten())


class Probe:
    """The states after one layer, divided, with what was fitted to them."""

    def __init__(self, states: Tensor, split: Split) -> None:
        self._split = split
        seen, self._fresh = states[split.fit], states[split.held]
        self._all, self._part, self._choosing = Ridge(seen), Ridge(seen[split.inner]), seen[split.choosing]

    def regress(self, targets: Tensor, *, told_by: Tensor | None = None) -> Tensor:
        """What is told of the held-out rows' targets, the penalty being that with the least squared error.

        Args:
            targets: ``(rows, d_target)``, of all rows.
            told_by: choose the penalty by these targets instead.
        """
        seen = targets[self._split.fit]
        judged = seen if told_by is None else told_by[self._split.fit]
        wanted = judged[self._split.choosing].double()
        tries = self._part.predict(self._choosing, judged[self._split.inner], PENALTIES)
        best = min(range(len(tries)), key=lambda index: float((tries[index] - wanted).square().sum()))
        return self._all.predict(self._fresh, seen, PENALTIES[best : best + 1])[0]

    def classify(self, classes: Tensor, count: int) -> Tensor:
        """The class that a linear probe tells for each held-out row; the penalty is that which tells most right.

        Args:
            classes: of all rows; -1 is told from nothing.
        """
        seen = classes[self._split.fit]
        marks = torch.zeros(len(seen), count, dtype=torch.float64)
        known = seen >= 0
        marks[known, seen[known]] = 1.0
        tries = self._part.predict(self._choosing, marks[self._split.inner], PENALTIES)
        wanted = seen[self._split.choosing]
        best = max(range(len(tries)), key=lambda index: float((tries[index].argmax(-1) == wanted).double().mean()))
        return self._all.predict(self._fresh, marks, PENALTIES[best : best + 1])[0].argmax(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A score with its 95% interval; all None where there is nothing to be told."""

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "-"
        value, low, high = (f"{round(each, 2) + 0.0:.2f}" for each in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


class Bootstrap:
    """Draws held-out texts with replacement, the same for every score, so that scores may be compared.

    Args:
        texts: the text of each row.
    """

    def __init__(self, texts: Tensor, *, resamples: int, seed: int) -> None:
        names, self._own = texts.unique(return_inverse=True)
        self._count = len(names)
        noise = torch.Generator().manual_seed(seed)
        drawn = torch.randint(self._count, (resamples, self._count), generator=noise)
        self._weights = torch.zeros(resamples, self._count).scatter_add_(1, drawn, torch.ones(drawn.shape))

    def ratios(self, above: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
        """The ratio of two sums over rows, `(scores,)`, and of each drawn sample, `(resamples, scores)`.

        Args:
            above, below: ``(rows, scores)``.
        """
        over, under = (self._by_text(each) for each in (above, below))
        weights = self._weights.double()
        return over.sum(0) / under.sum(0), (weights @ over) / (weights @ under)

    def _by_text(self, scores: Tensor) -> Tensor:
        return torch.zeros(self._count, scores.shape[1], dtype=torch.float64).index_add_(0, self._own, scores.double())


def interval(value: Tensor, samples: Tensor) -> Interval:
    """The middle 95% of samples."""
    real = samples[samples.isfinite()]
    if not math.isfinite(float(value)) or not len(real):
        return Interval(value=None, low=None, high=None)
    low, high = torch.quantile(real, torch.tensor([0.025, 0.975], dtype=real.dtype)).tolist()
    return Interval(value=float(value), low=low, high=high)
