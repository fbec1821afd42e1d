import random
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from orchestra.lab import fitting
from orchestra.lab.expressions import Example
from orchestra.lab.fitting import IGNORED, Fit, batches, encode, fit
from orchestra.lab.models import small_llama
from orchestra.lab.tokenizer import BEGIN_ID, END_ID, PAD_ID

SETTINGS = Fit(steps=6, batch=3, rate=1e-3, warmup=2, noise=0.1, save_every=2)


def copying(rng: random.Random, _: int) -> Example:
    number = str(rng.randint(0, 99))
    return ((f"{number}=", False), (number, True))


def model(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return small_llama(words, width=32, layers=1, inner=32, seed=0)


def test_only_learnt_pieces_and_the_end_have_labels(words: PreTrainedTokenizerFast) -> None:
    ids, labels = encode(words, [(("a+b=", False), ("12", True)), (("a", False), ("b", True))])
    twelve, b = (words.convert_tokens_to_ids(token) for token in ("12", "b"))
    assert labels.tolist() == [
        [IGNORED, IGNORED, IGNORED, IGNORED, IGNORED, twelve, END_ID],
        [IGNORED, IGNORED, b, END_ID, IGNORED, IGNORED, IGNORED],
    ]
    assert ids[:, 0].tolist() == [BEGIN_ID, BEGIN_ID]
    assert ids[1, 4:].tolist() == [PAD_ID] * 3


def test_a_stream_that_starts_later_goes_on_as_the_whole_one_does(words: PreTrainedTokenizerFast) -> None:
    whole = batches(words, copying, size=2, seed=1, start=0)
    later = batches(words, copying, size=2, seed=1, start=11)
    for _ in range(11):
        next(whole)
    for _ in range(10):
        assert torch.equal(next(whole)[0], next(later)[0])


def test_training_that_was_cut_off_ends_with_the_same_weights(
    words: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut, resumed = model(words), model(words), model(words)
    fit(whole, words, copying, SETTINGS, checkpoint=tmp_path / "whole.pt", title="")
    step = fitting._step

    def stopping(*args: object) -> float:
        if args[-1] == 5:
            raise KeyboardInterrupt
        return step(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(fitting, "_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit(cut, words, copying, SETTINGS, checkpoint=tmp_path / "cut.pt", title="")
    monkeypatch.undo()
    fit(resumed, words, copying, SETTINGS, checkpoint=tmp_path / "cut.pt", title="")
    assert not torch.equal(cut.lm_head.weight, whole.lm_head.weight)
    for name, weight in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weight), name


def test_training_lowers_the_loss(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    settings = Fit(steps=80, batch=16, rate=3e-3, warmup=5)
    loss = fit(
        model(words),
        words,
        lambda rng, step: (("5=", False), ("5", True)),
        settings,
        checkpoint=tmp_path / "a",
        title="",
    )
    assert loss < 3  # from 7.2; the average trails the loss by fifty steps


def test_frozen_weights_stay(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    trained = model(words)
    trained.lm_head.weight.requires_grad_(False)
    before = trained.lm_head.weight.clone()
    fit(trained, words, copying, SETTINGS, checkpoint=tmp_path / "a", title="")
    assert torch.equal(trained.lm_head.weight, before)
