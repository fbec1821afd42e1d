"""Invariant 1: fresh bridges, or augments that are off, leave the anchor as it is, to the bit."""

import pytest
import torch
from torch import Tensor

from orchestra import ComposedModel
from orchestra.nn.mask import positions
from tests.tiny import ARCHITECTURES, LENGTH, compose, generate, model, pair, ring, tokens

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)


def left_padded() -> tuple[Tensor, Tensor]:
    ids, mask = tokens(3), torch.ones(3, LENGTH, dtype=torch.long)
    mask[1, :2], mask[2, :5] = 0, 0
    return ids * mask, mask


def alone(composed: ComposedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """The anchor's own logits, with position ids counted from the mask where it takes any."""
    counted = {} if composed.anchor.config.model_type == "bloom" else {"position_ids": positions(mask.bool())}
    logits: Tensor = composed.anchor(ids, attention_mask=mask, **counted).logits
    return logits


def hears_nothing(composed: ComposedModel) -> None:
    ids, mask = left_padded()
    assert torch.equal(composed(ids, attention_mask=mask).logits, alone(composed, ids, mask))
    assert torch.equal(composed(ids).logits, composed.anchor(ids).logits)
    ours, theirs = (generate(either, ids, attention_mask=mask) for either in (composed, composed.anchor))
    assert torch.equal(ours, theirs)


@rings
def test_fresh_bridges_change_no_bit(index: int) -> None:
    with torch.no_grad():
        hears_nothing(ring(index, fresh=True))


@rings
def test_augments_that_are_off_change_no_bit(index: int) -> None:
    composed = ring(index)
    composed.disable("near", "far")
    with torch.no_grad():
        hears_nothing(composed)


@rings
def test_loud_bridges_are_heard(index: int) -> None:
    composed, ids = ring(index), tokens()
    with torch.no_grad():
        whole, near = composed(ids).logits, composed.only("near")
        with near:
            some = composed(ids).logits
        none = composed.anchor(ids).logits
    assert (whole - none).abs().mean() > 0.1
    assert (whole - some).abs().mean() > 0.1
    assert (some - none).abs().mean() > 0.1


@pytest.mark.parametrize(
    "recipe",
    [{"gate": "scalar"}, {"gate": "token"}, {"gate": "none"}, {"positions": "none"}, {"variant": "calm"}],
    ids=str,
)
def test_every_kind_of_fresh_bridge_is_silent_and_every_loud_one_is_heard(recipe: dict[str, str]) -> None:
    fields = {"bridges": {"pairs": [pair(0, "embedding"), pair(1, 0)], **recipe}}
    anchor, kv = model("llama"), model("gpt2", seed=1)
    with torch.no_grad():
        hears_nothing(compose(anchor, fresh=True, kv=(kv, fields)))
        composed = compose(anchor, kv=(kv, fields))
        assert (composed(tokens()).logits - anchor(tokens()).logits).abs().mean() > 0.1


def test_sampling_with_a_seed_and_beams_are_the_anchor_s_own() -> None:
    composed, ids = ring(0, fresh=True), tokens()
    for words in ({"do_sample": True, "temperature": 0.7}, {"num_beams": 3, "do_sample": False}):
        torch.manual_seed(5)
        ours = generate(composed, ids, attention_mask=torch.ones_like(ids), **words)
        torch.manual_seed(5)
        assert torch.equal(ours, generate(composed.anchor, ids, attention_mask=torch.ones_like(ids), **words))


def test_a_bf16_anchor_under_fp32_bridges_is_silent_too() -> None:
    anchor = model("llama", dtype=torch.bfloat16)
    composed = compose(anchor, torch.float32, fresh=True, kv=model("gpt2", seed=1, dtype=torch.float32))
    with torch.no_grad():
        assert composed(tokens()).logits.dtype == torch.bfloat16
        assert torch.equal(composed(tokens()).logits, anchor(tokens()).logits)


@pytest.mark.parametrize("architecture", ["falcon", "gpt2", "bloom"])
def test_models_given_in_train_mode_run_without_dropout(architecture: str) -> None:
    anchor = model(architecture)
    for module in anchor.modules():  # falcon's layers hold their rate as a number
        for rate in ("hidden_dropout", "p"):
            if hasattr(module, rate):
                setattr(module, rate, 0.5)
    anchor.config.hidden_dropout = 0.5
    composed = compose(anchor.train(), kv=model("gpt2", seed=1).train())
    with torch.no_grad():
        assert torch.equal(composed(tokens()).logits, composed(tokens()).logits)
        composed.anchor.train()  # by somebody who trains it elsewhere
        assert torch.equal(composed(tokens()).logits, composed(tokens()).logits)
