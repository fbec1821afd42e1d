"""Augments that feed augments: what holds of every composition holds at every depth."""

import itertools
import re
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestra import ComposedModel, ComposeError
from orchestra.runtime.schedule import Pass
from tests.deep import KINDS, SHAPES, deep
from tests.mixed import anchors
from tests.tiny import WIDTHS, close, compose, generate, model, ragged, stepped, tokens, watching

WIDER = [("beside", "streams"), ("diamond", "alike"), ("diamond", "tails")]
every = pytest.mark.parametrize(("shape", "kind"), [*(("chain", kind) for kind in KINDS), *WIDER])
PROMPT = {"context": "prompt"}

made = cache(deep)
"""Compositions that no test changes."""


@every
def test_fresh_bridges_are_silent_at_every_depth(shape: str, kind: str) -> None:
    composed = deep(shape, kind, fresh=True)
    ids, mask = ragged()
    with torch.no_grad():
        places = (mask.cumsum(-1) - 1).clamp_min(0)
        alone = composed.anchor(ids, attention_mask=mask, position_ids=places).logits
        assert torch.equal(composed(ids, attention_mask=mask).logits, alone)
    written = [generate(each, ids, attention_mask=mask, max_new_tokens=3) for each in (composed, composed.anchor)]
    assert torch.equal(*written)


@every
def test_a_later_token_changes_nothing_before_it(shape: str, kind: str) -> None:
    composed, ids = made(shape, kind), tokens()
    with torch.no_grad():
        whole = composed(ids).logits
        for place in (2, 5, 10):
            other = ids.clone()
            other[:, place:] = tokens(seed=place)[:, place:]
            close(composed(other).logits[:, :place], whole[:, :place])


@every
def test_read_in_parts_and_alone_is_read_at_once_and_padded(shape: str, kind: str) -> None:
    composed = made(shape, kind)
    ids, mask = ragged()
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask).logits
        for widths in WIDTHS[:2]:
            parts, _ = stepped(composed, ids, mask, widths)
            close(parts[mask.bool()], whole[mask.bool()])
        for row, keep in enumerate(mask.bool()):
            close(composed(ids[row : row + 1, keep]).logits[0], whole[row, keep])


def test_what_a_feeder_reads_while_whom_it_feeds_waits_is_kept() -> None:
    """The fed augment reads whole words, its feeder letters."""
    composed, ids = made("chain", "coarse"), anchors()("abcd ee abdb a", return_tensors="pt")["input_ids"]
    cache, logits, widths = None, [], []
    with torch.no_grad():
        for new in ids.split(1, dim=1):
            step = composed(new, past_key_values=cache, use_cache=True)
            cache = step.past_key_values
            logits.append(step.logits)
            widths.append([cache.columns[name].width for name in ("first", "second")])
        close(torch.cat(logits, dim=1), composed(ids).logits)
    steps = [(one > other, two > more) for (one, two), (other, more) in zip(widths[1:], widths, strict=False)]
    assert {(True, False), (True, True)} <= set(steps)


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("ids", ("first",)),
        ("ids", ("second",)),
        ("streams", ("first", "second")),
        ("alike", ("second",)),
        ("fed streams", ("first",)),
    ],
)
def test_who_reads_the_prompt_only_may_feed_and_be_fed(kind: str, who: tuple[str, ...]) -> None:
    prompts: dict[str, Any] = dict.fromkeys(who, PROMPT)
    composed = deep("chain", kind, **prompts)
    ids, mask = ragged()
    lengths = torch.tensor([7, 2, 5])
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask, prompt_length=lengths).logits
        for widths in WIDTHS[1:2]:
            parts, _ = stepped(composed, ids, mask, widths, prompt_length=lengths)
            close(parts[mask.bool()], whole[mask.bool()])
        for row, keep in enumerate(mask.bool()):
            alone = composed(ids[row : row + 1, keep], prompt_length=lengths[row : row + 1]).logits
            close(alone[0], whole[row, keep])


@pytest.mark.parametrize("kind", ["ids", "streams"])
def test_what_is_written_is_read_by_nobody_who_feeds_only_readers_of_the_prompt(kind: str) -> None:
    prompt: dict[str, Any] = {"second": PROMPT}
    for shape, off, goes_on in (("chain", (), False), ("beside", (), True), ("diamond", ("third",), False)):
        composed = deep(shape, kind, **prompt)
        with composed.ablate(*off):
            with watching() as runs:
                written = generate(composed, tokens())
            assert runs(composed.augment("second")) == 1
            assert (runs(composed.augment("first")) > 1) == goes_on
            assert torch.equal(generate(composed, tokens(), use_cache=False), written)


@pytest.mark.parametrize(("shape", "kind"), [("chain", "streams"), ("beside", "ids"), ("diamond", "alike")])
def test_every_set_of_augments_is_the_graph_without_the_others(shape: str, kind: str) -> None:
    composed, into = made(shape, kind), SHAPES[shape]
    anchor = composed.anchor
    with torch.no_grad():
        for size in range(len(into) + 1):
            for on in itertools.combinations(into, size):
                fed = {name: [target for target in into[name] if target in (*on, "anchor")] for name in on}
                run = {name: targets for name, targets in fed.items() if targets}
                with composed.only(*on), watching() as runs:
                    assert composed.active == tuple(sorted(run))
                    found = composed(tokens()).logits
                    assert {name for name in into if runs(composed.augment(name))} == set(run)
                    assert max((runs(composed.augment(name)) for name in into), default=0) <= 1
                assert (found - anchor(tokens()).logits).abs().max() > 1e-3 or not run
                if run:
                    close(found, without(composed, shape, kind, run)(tokens()).logits)


def without(composed: ComposedModel, shape: str, kind: str, run: dict[str, list[str]]) -> ComposedModel:
    """The graph of these augments alone, with the same models and bridges."""
    parts: dict[str, Any] = {name: (composed.augment(name), {"into": into}) for name, into in run.items()}
    words = KINDS[kind][0]
    named = {"anchor": composed.tokenizer, **{name: words[name] for name in run}} if words else None
    fewer = compose(composed.anchor, tokenizers=named, **parts)
    for name, into in run.items():
        for target in into:
            fewer.stack(name, target).load_state_dict(composed.stack(name, target).state_dict())
    return fewer


def test_permuting_the_augments_changes_no_bit() -> None:
    parts: dict[str, Any] = {
        "a": (model("qwen3", seed=1), {"into": ["c", "b"]}),
        "b": (model("gpt2", seed=2), {"into": ["c"]}),
    }
    parts["c"] = (model("llama", seed=3), {})
    anchor = model("gpt2")
    with torch.no_grad():
        found = [
            compose(anchor, **{name: parts[name] for name in order})(tokens()).logits
            for order in itertools.permutations(parts)
        ]
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("kind", ["ids", "alike", "tails alike", "feeder streams"])
def test_to_who_feeds_it_a_fed_augment_is_the_anchor(kind: str) -> None:
    """Where it reads the anchor's ids, or both read the same tokens, a chain holds a smaller composition."""
    composed, ids = made("chain", kind), tokens()
    words = KINDS[kind][0]
    inner = compose(
        composed.augment("second"),
        tokenizers={"anchor": words["second"], "first": words["first"]} if words else None,
        first=composed.augment("first"),
    )
    inner.stack("first").load_state_dict(composed.stack("first", "second").state_dict())
    with torch.no_grad():
        state = taken(composed, ids)
        read = state.alignments["second"]
        for row in range(len(ids)):
            new = ids.shape[1] if kind in ("ids", "feeder streams") else int((read.valid[row] > 0).sum())
            new -= 0 if read.tail is None else int(read.tail[row].sum())
            expected = inner(read.ids[row : row + 1, :new], output_hidden_states=True).hidden_states
            for layer in (0, 1):
                close(state.taps["second", layer][row, :new], expected[layer + 1][0])


def taken(composed: ComposedModel, ids: Tensor) -> Pass:
    """What the augments leave for the bridges."""
    reads = composed._runner.align(ids, torch.ones_like(ids), active=composed.active)
    return composed._runner.read(reads)


# -- generation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "kind", "way"),
    [
        ("chain", "streams", {"num_beams": 3}),
        ("diamond", "alike", {}),
        ("beside", "fed streams", {"do_sample": True, "num_return_sequences": 2}),
        ("chain", "tails", {}),
    ],
)
def test_generation_with_caches_is_generation_without(shape: str, kind: str, way: dict[str, Any]) -> None:
    composed = made(shape, kind)
    ids, mask = ragged()
    found = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        found.append(generate(composed, ids, attention_mask=mask, use_cache=use_cache, max_new_tokens=4, **way))
    assert torch.equal(*found)


@pytest.mark.parametrize("kind", ["streams", "alike"])
def test_a_cache_that_was_cropped_reordered_and_repeated_goes_on(kind: str) -> None:
    composed = made("diamond", kind)
    ids, mask = ragged()
    with torch.no_grad():
        cache = composed.new_cache()
        cache.activate_past_recording()
        cache = composed(ids, attention_mask=mask, past_key_values=cache).past_key_values
        cache.crop(-4)
        cache.reorder_cache(torch.tensor([2, 0, 1]))
        cache.batch_repeat_interleave(2)
        rows = [2, 2, 0, 0, 1, 1]
        step = composed(ids[rows, -4:], attention_mask=mask[rows], past_key_values=cache).logits
        close(step, composed(ids[rows], attention_mask=mask[rows]).logits[:, -4:])


def test_a_cache_is_for_the_augments_that_ran_and_one_that_is_stopped_may_be_switched() -> None:
    composed = made("chain", "ids")
    with torch.no_grad(), composed.ablate("second"):
        cache = composed(tokens()).past_key_values
        with composed.ablate("first"):
            composed(tokens(2, 1), past_key_values=cache)
    message = "this cache was filled with no augment on, and now first, second would be: start with a fresh cache."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composed(tokens(2, 1), past_key_values=cache)


# -- training -------------------------------------------------------------------------------------------------------


def gradients(composed: ComposedModel) -> list[Tensor]:
    composed.train()
    composed.zero_grad()
    ids, mask = ragged()
    composed(ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
    composed.train(False)
    return [weight.grad.clone() for _, weight in composed.trainable() if weight.grad is not None]


@pytest.mark.parametrize(("shape", "kind"), [("chain", "ids"), ("diamond", "streams"), ("beside", "tails alike")])
def test_gradients_reach_every_bridge_through_frozen_augments(shape: str, kind: str) -> None:
    composed = deep(shape, kind)
    before = {name: weight.clone() for name, weight in composed.state_dict().items() if not name.startswith("stacks.")}
    kept = gradients(composed)
    assert len(kept) == len([*composed.trainable()])
    assert all(weight.abs().max() > 0 for weight in kept)
    composed.gradient_checkpointing_enable()
    for one, two in zip(kept, gradients(composed), strict=True):
        close(one, two)
    assert all(torch.equal(weight, before[name]) for name, weight in composed.state_dict().items() if name in before)
    assert all(weight.grad is None for part in (composed.anchor, composed.augments) for weight in part.parameters())


def test_a_gradient_through_a_fed_augment_is_the_slope_of_the_loss() -> None:
    composed = deep("chain", "streams", anchor="gpt2")  # llama's norms round to fp32
    weight = composed.stack("first", "second").bridges()[1].value.weight

    def loss() -> Tensor:
        found: Tensor = composed(tokens()).logits.sin().sum()
        return found

    loss().backward()
    sides = []
    with torch.no_grad():
        for step in (1e-5, -2e-5):
            weight[3, 5] += step
            sides.append(loss())
    assert weight.grad is not None
    torch.testing.assert_close((sides[0] - sides[1]) / 2e-5, weight.grad[3, 5], rtol=1e-5, atol=1e-10)


def test_activations_are_kept_in_an_augment_that_is_fed_and_in_no_other() -> None:
    composed = deep("beside", "ids")
    composed.augment("first").requires_grad_(True)  # by somebody; its run keeps nothing all the same
    learning = {key: hidden.requires_grad for key, hidden in taken(composed, tokens()).taps.items()}
    assert learning == {("first", 0): False, ("first", 1): False, ("second", 0): True, ("second", 1): True}
    with composed.ablate("first"):
        assert not any(hidden.requires_grad for hidden in taken(composed, tokens()).taps.values())


def test_what_bridges_add_is_told_of_augments_as_of_the_anchor() -> None:
    traces = made("beside", "ids").traced(tokens(1)).traces
    assert [trace.bridge.site.into for trace in traces] == ["second"] * 3 + ["anchor"] * 6


def test_a_stack_is_named_by_augment_and_target() -> None:
    composed = made("beside", "ids")
    assert composed.stack("first") is composed.stack("first", "anchor")
    assert composed.stack("first", "second") is not composed.stack("first")
    assert made("chain", "ids").stack("first").bridges()[0].site.into == "second"
    with pytest.raises(ComposeError, match=r"^'second' does not feed 'first'; it feeds anchor\.$"):
        composed.stack("second", "first")


def test_fresh_bridges_into_two_models_of_one_size_are_drawn_apart() -> None:
    both: dict[str, Any] = {"into": ["anchor", "second"]}
    composed = compose(model("gpt2"), fresh=True, first=(model("qwen3"), both), second=model("gpt2", seed=1))
    one, two = (composed.stack("first", into).bridges()[0].value.weight for into in both["into"])
    assert one.shape == two.shape
    assert not torch.equal(one, two)
