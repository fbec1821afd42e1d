import re
from typing import Any

import pytest
import torch

import orchestra
from orchestra import ComposedModel, ComposeError
from tests.tiny import bridges, document, loud, model, pair, words

FIELDS: dict[str, dict[str, Any]] = {
    "kv": {"bridges": {"pairs": [pair(0, "embedding"), pair(1, 1)], "gate": "token"}},
    "far": {"bridges": {"pairs": [pair(0, 1)], "gate": "none"}},
}


def composition(*, tokenized: bool = True, context: str = "refresh") -> ComposedModel:
    fields = {**FIELDS, "kv": {**FIELDS["kv"], "context": context}}
    models = {"anchor": model("llama"), "kv": model("gpt2", seed=1), "far": model("falcon", seed=2)}
    composed = orchestra.load(document(fields), models=models, tokenizers={"anchor": words()} if tokenized else None)
    composed.stacks.to(torch.float64)
    return loud(composed)


def test_each_bridge_is_reported_per_token_in_the_order_of_summation() -> None:
    report = composition().contributions("w5 w7 w11")
    assert report.tokens == ("w5", "w7", "w11")
    places = [(one.augment, one.augment_layer, one.anchor_layer) for one in report.bridges]
    assert places == [("kv", 0, "embedding"), ("far", 0, 1), ("kv", 1, 1)]
    for one in report.bridges:
        assert len(one.gate) == len(one.share) == 3
    assert report.bridges[1].gate == (1.0, 1.0, 1.0)
    assert len(set(report.bridges[0].gate)) == 3


def test_a_share_is_the_residual_s_length_beside_the_hidden_state_s() -> None:
    composed, seen = composition(), {}

    def note(bridge: torch.nn.Module, args: tuple[torch.Tensor, ...], residual: torch.Tensor) -> None:
        seen[bridge] = (residual.norm(dim=-1) / args[0].norm(dim=-1))[0]

    for bridge in bridges(composed):
        bridge.register_forward_hook(note)
    report = composed.contributions("w5 w7 w11")
    expected = seen[composed.stack("kv").bridges()[1]]
    torch.testing.assert_close(torch.tensor(report.bridges[2].share), expected.float(), rtol=1e-5, atol=0)


def test_what_is_off_is_not_reported() -> None:
    composed = composition()
    with composed.only("far"):
        assert [one.augment for one in composed.contributions("w5").bridges] == ["far"]
    with composed.only():
        assert composed.contributions("w5").bridges == ()


def test_a_silent_bridge_has_a_share_of_zero() -> None:
    composed = composition()
    for bridge in bridges(composed):
        bridge.reset_parameters(0)
    assert {share for one in composed.contributions("w5 w7").bridges for share in one.share} == {0.0}


def test_a_report_prints_a_row_per_bridge_and_a_column_per_token() -> None:
    composed = composition()
    for bridge in bridges(composed):
        bridge.reset_parameters(0)
    assert str(composed.contributions("w5 w7")).splitlines() == [
        "|residual| / |hidden|     'w5'  'w7'",
        "kv 0 -> anchor embedding  0.00  0.00",
        "far 0 -> anchor 1         0.00  0.00",
        "kv 1 -> anchor 1          0.00  0.00",
    ]


def test_an_augment_that_reads_the_prompt_only_reads_the_whole_text_unless_told_how_much_of_it_is_the_prompt() -> None:
    whole, composed = composition(), composition(context="prompt")
    assert composed.contributions("w5 w7 w11") == whole.contributions("w5 w7 w11")
    assert composed.contributions("w5 w7 w11", prompt_length=3) == whole.contributions("w5 w7 w11")
    part, shares = composed.contributions("w5 w7 w11", prompt_length=2), whole.contributions("w5 w7 w11")
    assert part.bridges[0].share[:2] == pytest.approx(shares.bridges[0].share[:2])
    assert part.bridges[0].share[2] != pytest.approx(shares.bridges[0].share[2])
    assert [one.augment for one in composed.contributions("w5 w7", prompt_length=0).bridges] == ["far"]


def test_without_a_tokenizer_or_a_token_nothing_can_be_reported() -> None:
    message = "contributions need a tokenizer, and this model was composed without one."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composition(tokenized=False).contributions("w5")
    message = "contributions need a text of one token or more."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composition().contributions("")


def test_reporting_changes_nothing() -> None:
    composed, ids = composition(), torch.tensor([[5, 7, 11]])
    with torch.no_grad():
        before = composed(ids).logits
        composed.contributions("w5 w7 w11")
        assert torch.equal(composed(ids).logits, before)
    assert not any(trace.share.requires_grad for trace in composed.traced(ids))
