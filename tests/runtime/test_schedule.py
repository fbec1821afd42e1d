from typing import Any

import pytest
import torch
from torch import nn

from orchestra.runtime.schedule import add_residuals, inject, inject_embedding, running
from tests.tiny import bridges, compose, model, pair, tokens


def test_what_an_augment_holds_at_padding_goes_nowhere_even_if_it_is_nan() -> None:
    """Some models compute NaN where every key is masked, in bf16 above all."""
    augment = model("gpt2", seed=1)
    composed, clean = (compose(model("llama"), kv=augment).train() for _ in range(2))
    ids, mask = tokens(), torch.ones_like(tokens())
    mask[1, :5] = 0
    *_, highest = composed._runner._augments["kv"].model.get_submodule("h").children()
    highest.register_forward_hook(nan_at_padding, prepend=True)  # ahead of the tap, as if the layer had computed it
    labels = ids.masked_fill(mask == 0, -100)
    losses = [which(ids, attention_mask=mask, labels=labels).loss for which in (composed, clean)]
    assert torch.equal(*losses)
    losses[0].backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for _, weight in composed.trainable())


def nan_at_padding(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
    output = output.clone()
    output[1, :5] = float("nan")
    return output


def test_residuals_are_summed_in_fp32_and_added_once() -> None:
    dtype = torch.bfloat16
    pairs = {"bridges": {"pairs": [pair(0, 0), pair(1, 0)]}}
    anchor = model("llama", dtype=dtype)
    composed = compose(anchor, dtype, kv=(model("gpt2", seed=1, dtype=dtype), pairs))
    residuals: list[torch.Tensor] = []
    for bridge in bridges(composed):
        bridge.register_forward_hook(lambda *seen: residuals.append(seen[2]))
    with torch.no_grad():
        states = composed(tokens(), output_hidden_states=True).hidden_states
        plain = anchor(tokens(), output_hidden_states=True).hidden_states
    expected = (plain[1].float() + (residuals[0].float() + residuals[1].float())).to(dtype)
    assert torch.equal(states[1], expected)
    assert len(residuals) == 2


def test_all_bridges_at_a_layer_read_the_same_state() -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1), far=model("falcon", seed=2))
    read: dict[object, list[torch.Tensor]] = {}
    for bridge in bridges(composed):
        bridge.register_forward_pre_hook(lambda of, args: read.setdefault(of.site.anchor_layer, []).append(args[0]))
    composed(tokens())
    assert {place: len(states) for place, states in read.items()} == {"embedding": 2, 0: 2, 1: 2}
    for one, two in read.values():
        assert torch.equal(one, two)


@pytest.mark.parametrize("by_name", [False, True])
def test_the_embedding_is_bridged_however_the_first_layer_is_called(by_name: bool) -> None:
    layer, composed = First(), compose(model("llama"), kv=model("gpt2", seed=1))
    bridge = composed.stack("kv").bridge(composed.plan.graph.sites[0])
    inject_embedding(layer, [bridge])
    hidden = torch.randn(2, 11, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = composed._runner.read(composed._runner.align(tokens(), torch.ones_like(tokens()), active=["kv"]))
    with running(state):
        bridged, rest = layer(hidden_states=hidden, mask="mask") if by_name else layer(hidden, mask="mask")
    with torch.no_grad(), running(state):
        assert torch.equal(bridged, add_residuals(hidden, [bridge]))
    assert not torch.equal(bridged, hidden)
    assert rest == "mask"


class First(nn.Module):
    """A first layer that shows what it was given."""

    def forward(self, hidden_states: torch.Tensor, mask: str) -> tuple[torch.Tensor, str]:
        return hidden_states, mask


def test_a_layer_that_returns_a_tuple_is_bridged_in_its_first_part() -> None:
    layer, composed = First(), compose(model("llama"), kv=model("gpt2", seed=1))
    bridge = composed.stack("kv").bridge(composed.plan.graph.sites[0])
    inject(layer, [bridge])
    hidden = torch.ones(2, 11, 28, dtype=torch.float64)
    state = composed._runner.read(composed._runner.align(tokens(), torch.ones_like(tokens()), active=["kv"]))
    with running(state), torch.no_grad():
        assert torch.equal(layer(hidden, "mask")[0], add_residuals(hidden, [bridge]))
        assert layer(hidden, "mask")[1] == "mask"


def test_views_alone_do_nothing_special() -> None:
    """Hooks outside of a pass leave their layer as it is: somebody may call a view's parts directly."""
    anchor = model("llama")
    composed = compose(anchor, kv=model("gpt2", seed=1))
    with torch.no_grad():
        assert torch.equal(composed._runner._anchor.model(tokens()).logits, anchor(tokens()).logits)
        composed._runner._augments["kv"].model(tokens())
