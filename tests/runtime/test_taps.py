"""Taps: a forward that goes on from them is the whole forward, to the bit, and runs nothing under them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestra import ComposedModel, ComposeError
from orchestra.runtime.taps import Taps, join, split
from orchestra.runtime.view import layers_path
from tests.deep import deep
from tests.mixed import streaming
from tests.prompts import mixed
from tests.tiny import ARCHITECTURES, close, compose, model, pair, ragged, ring, tokens, watching

UPPER = (pair(1, 1), pair(0, 1))
"""Sites above the anchor's layer 0: of the anchor, layers 0 and 1 need not run again."""


def upper(architecture: str, dtype: torch.dtype = torch.float32, pairs: Any = UPPER) -> ComposedModel:
    """An anchor with two augments that write above its layer 0."""
    joined = {"bridges": {"pairs": pairs}}
    return compose(
        model(architecture, dtype=dtype),
        dtype,
        near=(model("gpt2", seed=1, dtype=dtype), joined),
        far=(model("gemma3", seed=2, dtype=dtype), joined),
    )


def batch(*, right: bool = True) -> dict[str, Tensor]:
    """Ragged texts, and labels behind prompts of three tokens."""
    ids, mask = (tensor.flip(1) if right else tensor for tensor in ragged())
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": ids.masked_fill((mask.cumsum(1) <= 3) | (mask == 0), -100),
    }


def step(composed: ComposedModel, inputs: Mapping[str, Tensor], taps: list[Taps] | None = None) -> dict[str, Tensor]:
    """Loss, logits and gradients of a step of training."""
    composed.train().zero_grad()
    told: Any = composed(**inputs, taps=taps)
    told.loss.backward()
    gradients = {name: weight.grad.clone() for name, weight in composed.trainable() if weight.grad is not None}
    assert gradients.keys() == {name for name, _ in composed.trainable()}
    return {"loss": told.loss.detach(), "logits": told.logits.detach()[inputs["attention_mask"].bool()], **gradients}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("architecture", "right"), [(name, place % 2 == 0) for place, name in enumerate((*ARCHITECTURES, "opt"))]
)
def test_a_step_on_taps_is_the_whole_step_to_the_bit(architecture: str, right: bool) -> None:
    composed, inputs = upper(architecture), batch(right=right)
    whole, taps = step(composed, inputs), composed.taps(**inputs)
    assert set(taps[0]) == {("near", 0), ("near", 1), ("far", 0), ("far", 1), ("anchor", 1)}
    assert same(step(composed, inputs, taps), whole)
    composed.gradient_checkpointing_enable()
    assert same(step(composed, inputs, taps), whole)


WAYS: dict[str, Callable[[], ComposedModel]] = {
    "streams": lambda: streaming(0),
    "unfinished words": lambda: streaming(0, tail="provisional"),
    "prompts only": lambda: mixed(0),
    "the anchor's tokens": lambda: ring(0),
}


@pytest.mark.parametrize(("way", "right"), [*zip(WAYS, [True, False] * 2, strict=True)])
def test_whatever_augments_read_their_taps_say(way: str, right: bool) -> None:
    """Streams, words that are not finished, prompts only; bridges at the embedding, so that all of the anchor runs."""
    composed, inputs = WAYS[way](), batch(right=right)
    whole, taps = step(composed, inputs), composed.taps(**inputs)
    assert {name for name, _ in taps[0]} == set(composed.active)
    assert same(step(composed, inputs, taps), whole)


def test_nothing_under_the_taps_runs_again_and_nothing_above_them_before() -> None:
    composed, inputs = upper("qwen3"), batch()
    layers = list(composed.anchor.get_submodule(".".join(layers_path(composed.anchor, 5))).children())
    with watching() as runs:
        taps = composed.taps(**inputs)
    assert [runs(part) for part in (*layers, composed.stack("near"), composed.stack("far"))] == [1, 1, 0, 0, 0, 0, 0]
    composed(**inputs, taps=taps)  # the first time, one token goes through layer 0 to see what it returns
    with watching() as runs, torch.no_grad():
        composed(**inputs, taps=taps)
    assert [runs(part) for part in (*layers, composed.stack("near"), composed.stack("far"))] == [0, 0, 1, 1, 1, 1, 1]
    assert [runs(composed.augment(name)) for name in ("near", "far")] == [0, 0]
    composed.gradient_checkpointing_enable()
    with watching() as runs:
        step(composed, inputs, taps)
    assert [runs(part) for part in (*layers, composed.stack("near"), composed.stack("far"))] == [0, 0, 2, 2, 2, 2, 2]


def test_taps_are_of_texts_not_of_batches() -> None:
    """Made in one batch and used in another, with other neighbours and other padding."""
    composed, inputs = upper("llama", torch.float64), batch()
    taps = composed.taps(**inputs)
    alone = [composed.taps(row[None, :length])[0] for row, length in zip(inputs["input_ids"], (11, 9, 6), strict=True)]
    for row, other in zip(taps, alone, strict=True):
        for key, hidden in row.items():
            close(hidden, other[key])
    assert [len(row["anchor", 1]) for row in taps] == [11, 9, 6]
    rows = [(2, 4), (1, 1)]  # these, padded on the left
    ids, mask = (
        torch.stack([inputs[name][row, :10].roll(places) for row, places in rows])
        for name in ("input_ids", "attention_mask")
    )
    with torch.no_grad():
        kept = composed(ids, mask, taps=[alone[2], taps[1]]).logits
        close(kept[mask.bool()], composed(ids, mask).logits[mask.bool()])


def test_what_is_put_together_comes_apart_again() -> None:
    valid = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    rows = [torch.randn(2, 5), torch.randn(1, 5), torch.randn(0, 5)]
    joined = join(rows, valid)
    assert joined.shape == (3, 3, 5)
    assert not joined[~valid.bool()].any()
    assert all(torch.equal(*pair) for pair in zip(split(joined, valid), rows, strict=True))


def test_an_augment_may_be_switched_off_after_taps_were_made() -> None:
    composed, inputs = upper("llama"), batch()
    taps = composed.taps(**inputs)
    for name in ("near", "far"):
        with composed.ablate(name), torch.no_grad():
            assert torch.equal(composed(**inputs, taps=taps).loss, composed(**inputs, use_cache=False).loss)
    with composed.only(), torch.no_grad():
        assert composed.taps(**inputs) == [{}, {}, {}]
        whole = composed(**inputs, use_cache=False).loss
        assert torch.equal(composed(**inputs, taps=taps).loss, whole)
        assert torch.equal(composed(**inputs, taps=[{}, {}, {}]).loss, whole)


def test_an_augment_that_reads_nothing_of_some_texts_has_empty_taps() -> None:
    composed, inputs = mixed(0), batch()
    del inputs["labels"]
    for lengths in ([0, 2, 0], [0, 0, 0]):
        inputs["prompt_length"] = torch.tensor(lengths)
        taps = composed.taps(**inputs)
        assert [tuple(row["near", 1].shape) for row in taps] == [(length, 20) for length in lengths]
        with torch.no_grad():
            assert torch.equal(composed(**inputs, taps=taps).logits, composed(**inputs, use_cache=False).logits)


def refused(message: str, composed: ComposedModel, taps: list[Taps], **said: Any) -> None:
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composed(**{**batch(), **said}, taps=taps)


def test_taps_of_other_texts_or_augments_are_refused() -> None:
    composed = upper("llama")
    taps = composed.taps(**batch())
    refused("taps are of 2 texts, and input_ids of 3.", composed, taps[:2])
    where = "they are another text's, or its prompt ended elsewhere."
    refused(
        f"taps[0] hold (9, 24) of layer 0 of 'far', and this text needs (11, 24): {where}",
        composed,
        taps[::-1][1:2] + taps[1:],
    )
    with composed.ablate("near"):
        fewer = composed.taps(**batch())
    message = "taps[0] hold nothing of layer 0 of 'near': make them with all augments on that are on now."
    refused(message, composed, fewer)
    mixture = [taps[0], {key: hidden for key, hidden in taps[1].items() if key[0] != "anchor"}, taps[2]]
    refused(message.replace("[0]", "[1]").replace("0 of 'near'", "1 of 'anchor'"), composed, mixture)


def test_taps_that_begin_above_a_bridge_are_refused() -> None:
    near, far = model("gpt2", seed=1), model("gemma3", seed=2)
    for lower, where in (("embedding", "embedding"), (0, "layer 0")):
        joined = [{"bridges": {"pairs": [pair(0, layer)]}} for layer in (lower, 1)]
        composed = compose(model("llama"), near=(near, joined[0]), far=(far, joined[1]))
        with composed.ablate("near"):
            taps = composed.taps(**batch())
        message = (
            f"taps[0] go on from anchor layer 1, and the lowest bridge that is on is at its {where}: make them with "
            "all augments on that are on now."
        )
        refused(message, composed, taps)


def test_what_layers_that_do_not_run_would_have_put_out_is_refused() -> None:
    composed = upper("llama")
    taps = composed.taps(**batch())
    cached = "taps are those of whole texts, read without a cache: drop past_key_values and use_cache."
    refused(cached, composed, taps, use_cache=True)
    refused(cached, composed, taps, past_key_values=composed.new_cache())
    message = "layers under the taps do not run: drop output_attentions and output_hidden_states, or taps."
    refused(message, composed, taps, output_hidden_states=True)
    refused(message, composed, taps, output_attentions=True)


def test_an_anchor_whose_upper_layers_read_keys_of_lower_ones_is_refused() -> None:
    composed = upper("llama")
    taps = composed.taps(**batch())
    composed.anchor.config.num_kv_shared_layers = 1
    message = "upper layers of the anchor (llama) read keys and values of lower ones, which are not in taps: train it "
    refused(f"{message}without.", composed, taps)


def test_taps_are_kept_in_the_dtype_they_are_made_in() -> None:
    composed, inputs = upper("llama", torch.bfloat16), batch()
    taps = composed.taps(**inputs)
    assert {hidden.dtype for row in taps for hidden in row.values()} == {torch.bfloat16}
    assert same(step(composed, inputs, taps), step(composed, inputs))


# -- what others feed -----------------------------------------------------------------------------------------------


def test_taps_of_what_is_fed_are_kept_where_the_bridges_that_feed_it_do_not_learn() -> None:
    composed = deep("beside", "fed streams")
    ids, mask = ragged()
    said: dict[str, Any] = {"attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}
    message = (
        "'first' feeds 'second' by bridges that learn: what 'second' makes of a text changes with them, and is no tap "
        "to keep. Run without taps, or freeze them: model.stack('first', 'second').requires_grad_(False)."
    )
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composed.taps(ids, **said)
    composed.stack("first", "second").requires_grad_(False)
    kept = composed.taps(ids, **said)
    assert {name for name, _ in kept[0]} == {"first", "second", "first>second"}
    losses, learnt = [], []
    for taps in (None, kept):
        composed.zero_grad()
        with watching() as runs:
            losses.append(composed(ids, taps=taps, use_cache=False, **said).loss)
        assert [runs(composed.augment(name)) for name in ("first", "second")] == ([0, 0] if taps else [1, 1])
        losses[-1].backward()
        learnt.append([weight.grad for _, weight in composed.trainable() if weight.grad is not None])
    close(*losses)
    for one, other in zip(*learnt, strict=True):
        close(one, other)
    composed.stack("first", "second").requires_grad_(True)
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composed(ids, taps=kept, use_cache=False, **said)


def test_taps_are_for_those_who_feed_each_other_as_when_they_were_made() -> None:
    composed, ids = deep("chain", "ids"), tokens()
    composed.stack("first").requires_grad_(False)
    kept = composed.taps(ids)
    assert {name for name, _ in kept[0]} == {"second", "first>second"}
    with composed.ablate("first"), torch.no_grad():
        alone = composed.taps(ids)
        close(composed(ids, taps=alone).logits, composed(ids, use_cache=False).logits)
        message = "taps[0] were made while 'second' was fed by first, and now it would be by nobody: make them anew."
        with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
            composed(ids, taps=kept)
    with composed.ablate("second"):
        assert torch.equal(composed(ids, taps=kept).logits, composed.anchor(ids).logits)
    message = "taps[1] were made while 'second' was fed by nobody, and now it would be by first: make them anew."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composed(ids, taps=[kept[0], alone[1]])
