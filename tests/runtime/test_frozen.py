"""Invariant 7: training moves bridges alone, and recomputing activations changes no gradient."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from orchestra import ComposedModel
from tests.tiny import ARCHITECTURES, compose, model, ring, tokens, watching

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)


def held(composed: ComposedModel) -> dict[str, Tensor]:
    """Every weight and buffer that is not a bridge's."""
    return {name: tensor.clone() for name, tensor in composed.state_dict().items() if not name.startswith("stacks.")}


@rings
def test_training_changes_no_byte_of_any_frozen_model(index: int) -> None:
    composed = ring(index, fresh=True).train()
    before = held(composed)
    bridges_before = {name: weight.detach().clone() for name, weight in composed.trainable()}
    optimizer = torch.optim.AdamW([weight for weight in composed.parameters() if weight.requires_grad], lr=0.1)
    for _ in range(3):
        composed(tokens(), labels=tokens()).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(torch.equal(tensor, before[name]) for name, tensor in held(composed).items())
    changed = {name for name, weight in composed.trainable() if not torch.equal(weight, bridges_before[name])}
    assert changed == set(bridges_before)
    assert all(weight.grad is None for weight in (*composed.anchor.parameters(), *composed.augments.parameters()))


def test_no_gradient_is_computed_in_an_augment_even_where_somebody_asks_for_one() -> None:
    composed = ring(0).train()
    composed.augment("near").requires_grad_(True)
    composed(tokens(), labels=tokens()).loss.backward()
    assert all(weight.grad is None for weight in composed.augment("near").parameters())


@rings
def test_frozen_models_stay_in_eval_mode(index: int) -> None:
    composed = ring(index)
    assert not any(module.training for module in composed.modules())
    composed.train()
    assert composed.training
    assert composed.stacks.training
    for frozen in (composed.anchor, composed.augment("near"), composed.augment("far")):
        assert not any(module.training for module in frozen.modules())
    composed.train(False)
    assert not any(module.training for module in composed.modules())


def gradients(composed: ComposedModel, between: Callable[[], object] = lambda: None) -> dict[str, Tensor]:
    composed.zero_grad()
    loss = composed(tokens(), labels=tokens()).loss
    between()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in composed.trainable() if weight.grad is not None}


def assert_same(one: dict[str, Tensor], two: dict[str, Tensor], names: set[str]) -> None:
    assert one.keys() == two.keys() == names
    for name, gradient in one.items():
        assert gradient.any(), name
        torch.testing.assert_close(gradient, two[name], rtol=0, atol=1e-9)


@rings
def test_gradients_are_the_same_when_activations_are_recomputed(index: int) -> None:
    composed = ring(index).train()
    plain = gradients(composed)
    composed.gradient_checkpointing_enable()
    assert_same(gradients(composed), plain, {name for name, _ in composed.trainable()})


@rings
def test_another_forward_between_forward_and_backward_changes_no_recomputed_gradient(index: int) -> None:
    composed, reference = ring(index).train(), ring((index + 1) % 8).train()
    plain = gradients(composed)
    composed.gradient_checkpointing_enable()
    reference.gradient_checkpointing_enable()

    def interrupt() -> None:
        composed.disable("near")  # and left off, too
        composed(tokens(1, 5, seed=8), labels=tokens(1, 5, seed=8))
        with torch.no_grad():
            reference(tokens(3, 7, seed=9))
            composed.train(False)(tokens(1, 3))
        composed.train()
        reference(tokens(3, 7, seed=9)).logits.sum().backward()

    recomputed = gradients(composed, interrupt)
    assert_same(recomputed, plain, {name for name, _ in composed.trainable()})


def test_two_compositions_over_one_anchor_do_not_mix_their_gradients() -> None:
    anchor, kv = model("llama"), model("gpt2", seed=1)
    one, two = compose(anchor, kv=kv).train(), compose(anchor, other=model("falcon", seed=1)).train()
    plain = gradients(one)
    one.gradient_checkpointing_enable()
    assert_same(gradients(one, lambda: gradients(two)), plain, {name for name, _ in one.trainable()})


def test_activations_are_in_fact_recomputed_where_something_is_learnt() -> None:
    composed = ring(0).train()
    for enable, times in ((False, 1), (True, 2)):
        if enable:
            composed.gradient_checkpointing_enable({"use_reentrant": False})
        assert composed.is_gradient_checkpointing is enable
        with watching() as runs:
            composed(tokens(), labels=tokens()).loss.backward()
        for layer in composed.anchor.model.layers:
            assert runs(layer) == times
        assert runs(composed.stack("near")) == times
        assert runs(composed.augment("near")) == 1  # nothing is learnt there
    composed.gradient_checkpointing_disable()
    assert not composed.is_gradient_checkpointing


def test_nothing_is_kept_for_the_backward_pass_but_what_recomputing_needs() -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1)).train()

    def kept() -> int:
        size = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal size
            size += tensor.numel() if not tensor.is_leaf or tensor.dtype == torch.bool else 0
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            composed(tokens(2, 31)).logits.sum()
        return size

    plain = kept()
    composed.gradient_checkpointing_enable()
    assert kept() < plain / 3


def test_evaluating_does_not_recompute() -> None:
    composed = ring(0)
    composed.gradient_checkpointing_enable()
    assert composed(tokens()).past_key_values is not None
    with torch.no_grad():
        assert composed.train()(tokens(), use_cache=True).past_key_values is not None
