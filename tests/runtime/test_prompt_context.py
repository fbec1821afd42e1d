"""Every invariant once more, for an augment that reads the prompt only, beside one that reads every token."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from orchestra import ComposedModel
from tests.tiny import ARCHITECTURES, LENGTH, VOCAB, compose, generate, model, tokens, watching

PROMPT = {"context": "prompt"}
rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)
some = pytest.mark.parametrize("index", [0, 1, 6], ids=["llama", "gemma3", "bloom"])  # plain, windows, alibi


def mixed(index: int, *, fresh: bool = False, **near: Any) -> ComposedModel:
    """A graph whose augment near reads the prompt only; together they have each architecture once in each place."""
    first, second, third = (ARCHITECTURES[(index + step) % 8] for step in (0, 1, 3))
    fields = {**PROMPT, **near}
    return compose(model(first), fresh=fresh, near=(model(second, seed=1), fields), far=model(third, seed=2))


def ragged() -> tuple[Tensor, Tensor]:
    """A left-padded batch and its mask."""
    mask = torch.ones(3, LENGTH, dtype=torch.long)
    mask[1, :2], mask[2, :5] = 0, 0
    return tokens(3) * mask, mask


LENGTHS = torch.tensor([7, 2, 5])
"""Prompts that end at different columns of it."""


@rings
def test_later_tokens_see_all_of_the_prompt_and_nothing_else_and_earlier_ones_what_is_before_them(index: int) -> None:
    """The same bridges over an augment that reads everything, all but the prompt hidden from them by hand."""
    composed, whole = mixed(index), mixed(index, context="refresh")
    ids, mask = ragged()
    shown = (mask.cumsum(-1) <= LENGTHS[:, None])[:, None, :]

    def hide(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, read, seen, position = args
        return hidden, read, seen & shown, position

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
    assert [runs(bridge.proj) for bridge in composed.stack("near").bridges()] == [1, 1, 1]
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
    models = {"a": (model("gpt2", seed=1), PROMPT), "b": model("falcon", seed=2), "c": (model("qwen3", seed=3), PROMPT)}
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


# -- cached = uncached -----------------------------------------------------------------------------------------------


@rings
def test_logits_token_by_token_equal_those_of_one_forward(index: int) -> None:
    composed, (ids, mask) = mixed(index), ragged()
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask, prompt_length=LENGTHS).logits
        for widths in ([6] + [1] * 5, [1, 3, 7], [10, 1]):
            cache, logits = None, []
            said = {"prompt_length": LENGTHS}  # once; the cache remembers
            for new, seen in zip(ids.split(widths, dim=1), torch.tensor(widths).cumsum(0).tolist(), strict=True):
                step = composed(new, attention_mask=mask[:, :seen], past_key_values=cache, use_cache=True, **said)
                cache, said = step.past_key_values, {}
                logits.append(step.logits)
            stepped = torch.cat(logits, dim=1)
            torch.testing.assert_close(stepped[mask.bool()], whole[mask.bool()], rtol=0, atol=1e-9)


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"do_sample": True, "temperature": 1.3, "top_k": 0},
    "beams": {"num_beams": 3},
    "several beams": {"num_beams": 4, "num_return_sequences": 2},
    "several samples": {"do_sample": True, "num_return_sequences": 3},
}
MET = [("greedy", index) for index in range(8)] + [(way, place) for place, way in enumerate(WAYS) if way != "greedy"]


@pytest.mark.parametrize(("way", "index"), MET, ids=[f"{way}-{ARCHITECTURES[index]}" for way, index in MET])
def test_generation_is_the_same_with_and_without_a_cache(index: int, way: str) -> None:
    """The whole input is the prompt, or, in every other graph, what is said to be."""
    composed, (ids, mask) = mixed(index), ragged()
    words = {**WAYS[way], **({"prompt_length": LENGTHS} if index % 2 else {})}
    written = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        written.append(generate(composed, ids, attention_mask=mask, **words, use_cache=use_cache))
    assert torch.equal(*written)


@rings
def test_chunked_prefill_writes_the_same(index: int) -> None:
    composed, (ids, mask) = mixed(index), ragged()
    chunked = generate(composed, ids, attention_mask=mask, prefill_chunk_size=4)
    assert torch.equal(chunked, generate(composed, ids, attention_mask=mask))


@some
def test_assisted_decoding_and_prompt_lookup_write_the_same(index: int) -> None:
    composed, ids, words = mixed(index), tokens(1, 5).repeat(1, 3), {"max_new_tokens": 9}
    plain = generate(composed, ids, use_cache=False, **words)
    assert torch.equal(generate(composed, ids, prompt_lookup_num_tokens=3, **words), plain)
    assert torch.equal(generate(composed, ids, assistant_model=composed.anchor, **words), plain)
    assert torch.equal(generate(composed, ids, assistant_model=mixed(index), **words), plain)
    said = {"prompt_length": torch.tensor([4]), **words}
    plain = generate(composed, ids, use_cache=False, **said)
    assert torch.equal(generate(composed, ids, assistant_model=composed.anchor, **said), plain)


def test_an_assistant_goes_on_knowing_the_prompt_and_is_believed_to_the_end() -> None:
    composed, twin, words = mixed(0), mixed(0), {"max_new_tokens": 9}
    twin.generation_config.num_assistant_tokens_schedule = "constant"
    twin.generation_config.num_assistant_tokens = 3
    twin.generation_config.assistant_confidence_threshold = 0.0
    with watching() as runs:
        assisted = generate(composed, tokens(1), assistant_model=twin, **words)
    assert torch.equal(assisted, generate(composed, tokens(1), use_cache=False, **words))
    assert runs(composed.anchor) == 3  # each step takes three guesses and adds a token


# -- the cache -------------------------------------------------------------------------------------------------------


@some
def test_generation_goes_on_from_a_returned_cache_with_the_prompt_that_it_had(index: int) -> None:
    composed, (prompt, mask) = mixed(index), ragged()
    first: Any = generate(composed, prompt, attention_mask=mask, return_dict_in_generate=True)
    ids = torch.cat([first.sequences, tokens(3, 4, seed=9)], dim=1)
    seen = torch.cat([mask, torch.ones(3, 9, dtype=torch.long)], dim=1)
    cache = copy.deepcopy(first.past_key_values)
    anew = generate(composed, ids, attention_mask=seen, prompt_length=mask.sum(-1))
    with watching() as runs:
        assert torch.equal(generate(composed, ids, attention_mask=seen, past_key_values=cache), anew)
    assert runs(composed.augment("near")) == 0
    cache = copy.deepcopy(first.past_key_values)
    said = {"past_key_values": cache, "prompt_length": mask.sum(-1)}
    assert torch.equal(generate(composed, ids, attention_mask=seen, **said), anew)
    with torch.no_grad():
        lengths = (mask.sum(-1), seen.sum(-1))
        kept, read = (composed(ids, attention_mask=seen, prompt_length=length).logits[:, -1] for length in lengths)
    assert (kept - read).abs().max() > 1e-3  # the new text could have been read


@some
def test_a_prompt_that_is_read_in_part_ahead_goes_on_when_told_to(index: int) -> None:
    """A preamble shared by many prompts, read once."""
    composed, (ids, mask) = mixed(index), ragged()
    with torch.no_grad():
        ahead = composed(ids[:, :6], attention_mask=mask[:, :6], prompt_length=mask[:, :6].sum(-1)).past_key_values
    plain = generate(composed, ids, attention_mask=mask)
    said = {"past_key_values": ahead, "prompt_length": mask.sum(-1)}
    assert torch.equal(generate(composed, ids, attention_mask=mask, **said), plain)


@some
def test_a_cache_that_is_cropped_selected_and_repeated_stays_right(index: int) -> None:
    composed, ids, lengths = mixed(index), tokens(3), torch.tensor([9, 3, 5])
    # Cut off after the last prompt, inside the longest, inside another; the longest is kept, or dropped.
    for tokens_to_remove, rows in ((-1, [2, 0]), (-4, [2, 0]), (-7, [2, 0]), (-1, [2, 1]), (-4, [2, 1])):
        with torch.no_grad():
            cache = composed.new_cache()
            cache.activate_past_recording()
            cache = composed(ids, past_key_values=cache, prompt_length=lengths).past_key_values
            cache.crop(tokens_to_remove)
            cache.batch_select_indices(torch.tensor(rows))
            cache.batch_repeat_interleave(2)
            cache.reorder_cache(torch.tensor([3, 0, 1, 2], dtype=torch.int32))
            rows, left = [rows[place] for place in (1, 0, 0, 1)], LENGTH + tokens_to_remove
            step = composed(ids[rows, left:], past_key_values=cache)
            whole = composed(ids[rows], prompt_length=lengths[rows]).logits
        torch.testing.assert_close(step.logits, whole[:, left:], rtol=0, atol=1e-9)
        assert step.past_key_values.prompt_length.equal(lengths[rows])


def test_rows_that_are_padded_on_the_right_go_on_with_their_prompts() -> None:
    """The short row's prompt goes on in the second part, behind padding that nobody's prompt filled."""
    composed, ids = mixed(0), tokens()
    mask = torch.ones(2, LENGTH, dtype=torch.long)
    mask[1, 3:7] = 0
    lengths = torch.tensor([2, 5])
    with torch.no_grad():
        cache = composed(ids[:, :7], attention_mask=mask[:, :7], prompt_length=lengths).past_key_values
        assert cache.augments["near"].get_seq_length() == 3
        step = composed(ids[:, 7:], attention_mask=mask, past_key_values=cache).logits
        whole = composed(ids, attention_mask=mask, prompt_length=lengths).logits[:, 7:]
    torch.testing.assert_close(step, whole, rtol=0, atol=1e-9)


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
    losses = {}
    for recompute in (False, True):
        if recompute:
            composed.gradient_checkpointing_enable()
        composed.zero_grad()
        loss = composed(tokens(), prompt_length=torch.tensor([3, 9])).logits.square().sum()
        composed(tokens(), prompt_length=torch.tensor([8, 1])).logits.square().sum().backward()
        loss.backward()
        losses[recompute] = {name: weight.grad.clone() for name, weight in composed.trainable()}
    for name, gradient in losses[False].items():
        torch.testing.assert_close(losses[True][name], gradient, rtol=0, atol=1e-7)
