from typing import Any

import pytest
import torch
from torch import nn

from tests.tiny import ARCHITECTURES, compose, model, ring, tokens

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)


@rings
@pytest.mark.parametrize("keep", [1, 3, torch.tensor([0, 4])], ids=str)
def test_only_the_logits_asked_for_are_computed(index: int, keep: Any) -> None:
    composed = ring(index)
    with torch.no_grad():
        logits = composed(tokens(), logits_to_keep=keep).logits
        whole = composed(tokens()).logits
    expected = whole[:, -keep:] if isinstance(keep, int) else whole[:, keep]
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("keep", [0, 2, torch.tensor([0, 4])], ids=str)
def test_logits_are_cut_for_an_anchor_that_cannot(keep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    anchor = model("llama")
    forward = type(anchor).forward

    def plain(
        self: nn.Module,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        return forward(self, input_ids, attention_mask, past_key_values=past_key_values, use_cache=use_cache)

    monkeypatch.setattr(type(anchor), "forward", plain)
    composed = compose(anchor, kv=model("gpt2", seed=1))
    with torch.no_grad():
        whole = composed(tokens()).logits
        assert whole.shape == (2, 11, 97)
        logits = composed(tokens(), logits_to_keep=keep).logits
    assert torch.equal(logits, whole[:, -keep:] if isinstance(keep, int) else whole[:, keep])


@rings
def test_hidden_states_are_those_after_the_residuals(index: int) -> None:
    composed = ring(index)
    with torch.no_grad():
        states = composed(tokens(), output_hidden_states=True).hidden_states
        plain = composed.anchor(tokens(), output_hidden_states=True).hidden_states
    assert len(states) == len(plain) == composed.plan.graph.anchor.facts.num_layers + 1
    assert all(state.shape == (2, 11, composed.plan.graph.anchor.facts.d_model) for state in states)
    assert all((state - other).abs().mean() > 1e-3 for state, other in zip(states[1:], plain[1:], strict=True))


def test_attentions_are_the_anchor_s() -> None:
    anchor = model("llama")
    anchor.set_attn_implementation("eager")
    composed = compose(anchor, kv=model("gpt2", seed=1))
    with torch.no_grad():
        attentions = composed(tokens(), output_attentions=True).attentions
    assert [tuple(layer.shape) for layer in attentions] == [(2, 2, 11, 11)] * 3
