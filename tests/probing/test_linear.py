"""Ridge regression and intervals, against what they are by definition."""

import pytest
import torch
from torch import Tensor

from orchestra.probing.linear import Bootstrap, Interval, Probe, Ridge, divided, interval

ROWS, WIDTH, TARGETS = 53, 7, 3


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("rows", [5, 53])
def test_a_ridge_solves_the_normal_equations_of_standardised_states(rows: int) -> None:
    states, targets, fresh = noise(rows, WIDTH) * 3 + 1, noise(rows, TARGETS, seed=1) + 2, noise(11, WIDTH, seed=2)
    inputs = (states - states.mean(0)) / states.std(0, correction=0)
    gram = inputs.T @ inputs + 0.1 * rows * torch.eye(WIDTH, dtype=torch.float64)
    weights = torch.linalg.solve(gram, inputs.T @ (targets - targets.mean(0)))
    wanted = (fresh - states.mean(0)) / states.std(0, correction=0) @ weights + targets.mean(0)
    [told] = Ridge(states).predict(fresh, targets, (0.1,))
    torch.testing.assert_close(told, wanted, rtol=0, atol=1e-9)


def test_what_is_linear_in_states_is_told_and_what_is_not_there_is_not() -> None:
    states, texts = noise(400, WIDTH), torch.arange(400)
    split = divided(texts, texts >= 300, seed=0)
    probe = Probe(states, split)
    there, absent = states @ noise(WIDTH, TARGETS, seed=3), noise(400, TARGETS, seed=4)

    def explained(targets: Tensor) -> float:
        wanted = targets[split.held]
        left = (probe.regress(targets) - wanted).square().sum() / (wanted - targets[split.fit].mean(0)).square().sum()
        return float(1 - left)

    assert explained(there) > 0.999
    assert explained(absent) < 0.05
    assert explained(absent) > -0.2  # the penalty keeps what is not there from being made up


def test_a_probe_tells_classes_that_lie_apart_and_never_one_that_it_has_not_seen() -> None:
    states, texts = noise(300, WIDTH), torch.arange(300)
    split = divided(texts, texts >= 200, seed=0)
    classes = (states[:, 2] > 0).long()
    told = Probe(states, split).classify(classes, 2)
    assert (told == classes[split.held]).double().mean() > 0.85
    assert Probe(states, split).classify(torch.full((300,), -1), 2).max() < 2


def test_held_out_texts_choose_no_penalty_and_rows_of_a_text_stay_together() -> None:
    texts = torch.arange(20).repeat_interleave(3)
    split = divided(texts, texts >= 15, seed=0)
    assert split.held.tolist() == list(range(45, 60))
    inner, choosing = (set(texts[split.fit][part].tolist()) for part in (split.inner, split.choosing))
    assert inner.isdisjoint(choosing)
    assert inner | choosing == set(range(15))
    assert len(choosing) == 3


def test_intervals_are_as_wide_as_theory_has_them_and_draw_whole_texts() -> None:
    right = (torch.arange(400) % 4 == 0).double()[:, None]
    texts = torch.arange(400)
    value, samples = Bootstrap(texts, resamples=2000, seed=0).ratios(right, torch.ones_like(right))
    found = interval(value[0], samples[:, 0])
    assert found.value == 0.25
    assert found.low == pytest.approx(0.25 - 1.96 * (0.25 * 0.75 / 400) ** 0.5, abs=0.006)
    assert found.high == pytest.approx(0.25 + 1.96 * (0.25 * 0.75 / 400) ** 0.5, abs=0.006)
    # The same rows, four to a text and each text alike: nothing varies.
    _, alike = Bootstrap(texts // 4, resamples=100, seed=0).ratios(right, torch.ones_like(right))
    assert alike.std() == 0


def test_the_same_texts_are_drawn_for_every_score() -> None:
    scores = noise(31, 2, seed=5).abs()
    scores[:, 1] = scores[:, 0] + 1
    _, samples = Bootstrap(torch.arange(31), resamples=100, seed=0).ratios(scores, torch.ones_like(scores))
    torch.testing.assert_close(samples[:, 1] - samples[:, 0], torch.ones(100, dtype=torch.float64))


def test_where_nothing_varies_there_is_no_score() -> None:
    nothing = torch.zeros(13, 1)
    value, samples = Bootstrap(torch.arange(13), resamples=100, seed=0).ratios(nothing, nothing)
    assert interval(value[0], samples[:, 0]) == Interval(value=None, low=None, high=None)
    assert str(interval(value[0], samples[:, 0])) == "-"
