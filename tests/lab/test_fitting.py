import random
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from orchestra.lab import fitting
from orchestra.lab.batches import encode
from orchestra.lab.expressions import Example
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.models import small_llama

SETTINGS = Fit(steps=6, batch=3, rate=1e-3, warmup=2, noise=0.1, save_every=2)


def copying(rng: random.Random, _: int) -> Example:
    number = str(rng.randint(0, 99))
    return ((f"{number}=", False), (number, True))


def model(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return small_llama(words, width=32, layers=1, inner=32, seed=0)


def test_training_that_was_cut_off_ends_with_the_same_weights(
    words: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut, resumed = model(words), model(words), model(words)
    fit(whole, copying, partial(encode, words), SETTINGS, checkpoint=tmp_path / "whole.pt", title="")
    step = fitting._step

    def stopping(*args: object) -> float:
        if args[-1] == 5:
            raise KeyboardInterrupt
        return step(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(fitting, "_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit(cut, copying, partial(encode, words), SETTINGS, checkpoint=tmp_path / "cut.pt", title="")
    monkeypatch.undo()
    fit(resumed, copying, partial(encode, words), SETTINGS, checkpoint=tmp_path / "cut.pt", title="")
    assert not torch.equal(cut.lm_head.weight, whole.lm_head.weight)
    for name, weight in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weight), name


def test_training_lowers_the_loss(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    settings = Fit(steps=80, batch=16, rate=3e-3, warmup=5)
    loss = fit(
        model(words),
        lambda rng, step: (("5=", False), ("5", True)),
        partial(encode, words),
        settings,
        checkpoint=tmp_path / "a",
        title="",
    )
    assert loss < 3  # from 7.2; the average trails the loss by fifty steps


def test_frozen_weights_stay(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    trained = model(words)
    trained.lm_head.weight.requires_grad_(False)
    before = trained.lm_head.weight.clone()
    fit(trained, copying, partial(encode, words), SETTINGS, checkpoint=tmp_path / "a", title="")
    assert torch.equal(trained.lm_head.weight, before)


def test_the_gap_to_a_twin_is_one_where_nothing_was_added_and_zero_at_the_goal() -> None:
    start, goal = torch.zeros(1, 3, 2), torch.tensor([[[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]])
    real = torch.tensor([[True, True, False]])
    padded = start.clone()
    padded[0, 2] = 7.0  # what was added at padding does not count

    def gap(states: torch.Tensor) -> float:
        return fitting._gap(states, start=start, goal=goal, real=real).item()

    assert (gap(start), gap(goal), gap(goal / 2), gap(padded)) == (1.0, 0.0, 0.25, 1.0)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_computed_as_asked_and_afterwards_as_before(
    words: PreTrainedTokenizerFast, tmp_path: Path, attention: str
) -> None:
    trained, seen = model(words), []
    trained.register_forward_hook(lambda *_: seen.append(trained.config._attn_implementation))
    settings = Fit(steps=1, batch=3, rate=1e-3, attention=attention)  # type: ignore[arg-type]
    fit(trained, copying, partial(encode, words), settings, checkpoint=tmp_path / "a", title="")
    assert seen == [attention]
    assert trained.config._attn_implementation == "sdpa"
