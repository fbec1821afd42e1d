"""Every invariant once more, for an augment that reads the prompt only, beside one that reads every token."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from orchestra import ComposedModel
from orchestra.nn.mask import Sight
from tests.prompts import LENGTHS, PROMPT, mixed
from tests.tiny import ARCHITECTURES, LENGTH, VOCAB, compose, generate, model, ragged, tokens, watching

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)
some = pytest.mark.parametrize("index", [0, 1, 6], ids=["llama", "gemma3", "bloom"])  # plain, windows, alibi


@rings
def test_later_tokens_see_all_of_the_prompt_and_nothing_else_and_earlier_ones_what_is_before_them(index: int) -> None:
    """The same bridges over an augment that reads everything, all but the prompt hidden from them by hand."""
    composed, whole = mixed(index), mixed(index, context="refresh")
    ids, mask = ragged()
    shown = (mask.cumsum(-1) <= LENGTHS[:, None])[:, None, :]

    def hide(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, read, _, places = args
        causal = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril() & mask[:, None].bool() & mask[..., None].bool()
        return hidden, read, Sight(causal & shown), places

    for bridge in whole.stack("near").bridges():
        bridge.register_forward_pre_hook(hide)
    with torch.no_grad():
        found = composed(ids, attention_mask=mask, prompt_length=LENGTHS).logits[mask.bool()]
        expected = whole(ids, attention_mask=mask).logits[mask.bool()]
        everything = mixed(index, context="refresh")(ids, attention_mask=mask).logits[mask.bool()]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    assert (found - everything).abs().max() > 1e-3


# -- off costs nothing -----------------------------------------------------------------------------------------------


@rings
def test_written_tokens_are_not_read_and_no_step_runs_the_augment(index: int) -> None:
    composed, (ids, mask) = mixed(index), ragged()
    with watching() as runs:
        out: Any = generate(composed, ids, attention_mask=mask, return_dict_in_generate=True)
    assert runs(composed.augment("near")) == 1
    assert [runs(bridge.norm_context) for bridge in composed.stack("near").bridges()] == [1, 1, 1]
    assert runs(composed.augment("far")) == runs(composed.stack("near")) == 5
    cache = out.past_key_values
    assert cache.get_seq_length() == cache.augments["far"].get_seq_length() == LENGTH + 4
    assert cache.augments["near"].get_seq_length() == cache.bridges["near"].get_seq_length() == LENGTH
    assert cache.prompt_length.tolist() == [11, 9, 6]


def test_chunks_of_a_prompt_are_each_read_once() -> None:
    composed = mixed(0)
    with watching() as runs:
        generate(composed, tokens(), prefill_chunk_size=4)
    assert runs(composed.augment("near")) == 3
    assert runs(composed.augment("far")) == 3 + 4


def test_one_that_is_off_is_not_run_and_nobody_need_say_how_long_the_prompt_is() -> None:
    composed = mixed(0)
    with composed.ablate("near"), watching() as runs, torch.no_grad():
        composed(tokens())
        generate(composed, tokens())
    assert runs(composed.augment("near")) == runs(composed.stack("near")) == 0


def test_where_no_row_has_a_prompt_there_is_nothing_to_read() -> None:
    composed = mixed(0)
    with watching() as runs, torch.no_grad():
        found = composed(tokens(), prompt_length=torch.tensor([0, 0]))
        step = composed(tokens(2, 1), past_key_values=found.past_key_values)
    assert runs(composed.augment("near")) == runs(composed.stack("near")) == 0
    with composed.ablate("near"), torch.no_grad():
        assert torch.equal(found.logits, composed(tokens()).logits)
    assert step.past_key_values.prompt_length.tolist() == [0, 0]


# -- silence, causality, padding, order ------------------------------------------------------------------------------


@some
def test_fresh_bridges_say_nothing(index: int) -> None:
    composed, (ids, mask) = mixed(index, fresh=True), ragged()
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    with torch.no_grad():
        found = composed(ids, attention_mask=mask, prompt_length=LENGTHS).logits
        assert torch.equal(found, composed.anchor(ids, attention_mask=mask, position_ids=positions).logits)
    written = [generate(of, ids, attention_mask=mask) for of in (composed, composed.anchor)]
    assert torch.equal(*written)


@some
def test_a_later_token_changes_nothing_earlier_inside_the_prompt_and_after_it(index: int) -> None:
    composed, ids, lengths = mixed(index), tokens(), torch.tensor([6, 8])
    with torch.no_grad():
        before = composed(ids, prompt_length=lengths).logits
        for place in range(1, LENGTH):
            changed = ids.clone()
            changed[:, place] = changed[:, place] % (VOCAB - 1) + 1
            after = composed(changed, prompt_length=lengths).logits
            torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-9)
            assert (after[:, place] - before[:, place]).abs().max() > 1e-3


def test_no_gradient_reaches_a_prediction_from_a_later_word_of_the_prompt() -> None:
    composed, states = mixed(0), []

    def follow(_: nn.Module, read: tuple[Tensor]) -> None:
        states.append(read[0].requires_grad_())

    for bridge in composed.stack("near").bridges():
        bridge.norm_context.register_forward_pre_hook(follow)
    logits = composed(tokens(rows=1), use_cache=False, prompt_length=torch.tensor([6])).logits
    for place, seen in ((3, 4), (8, 6)):
        gradients = torch.autograd.grad(logits[0, place].sum(), states, retain_graph=True)
        assert all(gradient.shape[1] == 6 for gradient in gradients)
        assert not any(gradient[0, seen:].any() for gradient in gradients)
        assert any(gradient[0, seen - 1].any() for gradient in gradients)


@some
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_row_is_equal_alone_and_padded_whatever_the_prompts_of_others(index: int, side: str) -> None:
    composed, ids, mask = mixed(index), tokens(), torch.ones(2, LENGTH, dtype=torch.long)
    where = slice(5, None) if side == "left" else slice(0, 6)
    short = ids[1:, :6].clone()
    mask[1] = 0
    mask[1, where] = 1
    ids[1, where] = short[0]
    for lengths in ([8, 3], [2, 6], [0, 4], [11, 0]):
        with torch.no_grad():
            batch = composed(ids, attention_mask=mask, prompt_length=torch.tensor(lengths)).logits
            for row, text in ((0, ids[:1]), (1, short)):
                alone = composed(text, prompt_length=torch.tensor(lengths[row : row + 1])).logits[0]
                torch.testing.assert_close(batch[row, mask[row].bool()], alone, rtol=0, atol=1e-9)


def test_the_order_of_augments_changes_no_bit() -> None:
    models: dict[str, Any] = {
        "a": (model("gpt2", seed=1), PROMPT),
        "b": model("falcon", seed=2),
        "c": (model("qwen3", seed=3), PROMPT),
    }
    one = compose(model("llama"), **models)
    two = compose(model("llama"), **dict(reversed(models.items())))
    with torch.no_grad():
        found = [of(tokens(), prompt_length=torch.tensor([4, 9])).logits for of in (one, two)]
    assert torch.equal(*found)
    assert torch.equal(generate(one, tokens()), generate(two, tokens()))


def test_a_model_may_be_anchor_and_read_its_own_prompt() -> None:
    anchor = model("llama")
    composed = compose(anchor, self=(anchor, PROMPT), again=anchor)
    with watching() as runs:
        cached = generate(composed, tokens())
    assert runs(anchor.model.layers[0]) == 1 + 5 + 5
    assert torch.equal(cached, generate(composed, tokens(), use_cache=False))


# -- training --------------------------------------------------------------------------------------------------------


def gradients(composed: ComposedModel, **said: Any) -> dict[str, Tensor]:
    composed.zero_grad()
    labels = tokens().clone()
    labels[0, :4], labels[1, :7] = -100, -100
    composed(tokens(), labels=labels, **said).loss.backward()
    return {name: weight.grad.clone() for name, weight in composed.trainable() if weight.grad is not None}


@some
def test_the_prompt_is_what_labels_leave_out_at_the_start_recomputed_or_not(index: int) -> None:
    composed = mixed(index).train()
    plain = gradients(composed)
    assert plain.keys() == {name for name, _ in composed.trainable()}
    said = gradients(composed, prompt_length=torch.tensor([4, 7]))
    composed.gradient_checkpointing_enable()
    with watching() as runs:
        recomputed = gradients(composed)
    assert runs(composed.augment("near")) == 1
    assert runs(composed.stack("near")) == 2
    for name, gradient in plain.items():
        assert gradient.any(), name
        assert torch.equal(said[name], gradient)
        torch.testing.assert_close(recomputed[name], gradient, rtol=0, atol=1e-9)


def test_two_lengths_between_forward_and_backward_do_not_mix_when_recomputed() -> None:
    composed = mixed(0).train()
    found: dict[bool, dict[str, Tensor | None]] = {}
    for recompute in (False, True):
        if recompute:
            composed.gradient_checkpointing_enable()
        composed.zero_grad()
        loss = composed(tokens(), prompt_length=torch.tensor([3, 9])).logits.square().sum()
        composed(tokens(), prompt_length=torch.tensor([8, 1])).logits.square().sum().backward()
        loss.backward()
        found[recompute] = {name: weight.grad for name, weight in composed.trainable()}
    for name, gradient in found[False].items():
        torch.testing.assert_close(found[True][name], gradient, rtol=0, atol=1e-7)
