"""Invariant 9: a forward leaves nothing behind, whether it ends or fails, and compositions do not meet."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from orchestra import ComposedModel, ComposeError
from orchestra.runtime import schedule
from tests.tiny import ARCHITECTURES, bridges, compose, generate, model, ring, tokens

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)


class Broken(Exception):
    pass


def fail(*_: Any) -> None:
    raise Broken


def break_one(composed: ComposedModel, which: int) -> Any:
    """Make a bridge fail until the handle is removed."""
    return bridges(composed)[which].register_forward_pre_hook(fail)


@rings
@pytest.mark.parametrize("which", [0, -1])
def test_a_forward_that_fails_leaves_no_state(index: int, which: int) -> None:
    composed, untouched = ring(index), ring(index)
    handle = break_one(composed, which)
    for _ in range(2):
        with pytest.raises(Broken):
            composed(tokens(3, 7, seed=4), attention_mask=torch.ones(3, 7))
    with pytest.raises(Broken):
        generate(composed, tokens())
    handle.remove()
    assert schedule._current.get() is None
    with torch.no_grad():
        assert torch.equal(composed(tokens()).logits, untouched(tokens()).logits)
        assert torch.equal(composed.anchor(tokens()).logits, untouched.anchor(tokens()).logits)


def test_an_augment_that_fails_leaves_no_state() -> None:
    composed = ring(0)
    view = composed._runner._augments["near"].model
    handle = view.register_forward_hook(fail)
    with pytest.raises(Broken):
        composed(tokens())
    handle.remove()
    assert schedule._current.get() is None
    with torch.no_grad():
        assert torch.equal(composed(tokens()).logits, ring(0)(tokens()).logits)


def test_a_cache_that_was_left_half_filled_is_refused_until_it_is_reset() -> None:
    composed = ring(0)
    cache = composed(tokens()).past_key_values
    handle = break_one(composed, 0)
    with pytest.raises(Broken):
        composed(tokens(2, 1), past_key_values=cache)
    handle.remove()
    message = "^a forward failed while it filled this cache: start with a fresh cache\\.$"
    with pytest.raises(ComposeError, match=message):
        composed(tokens(2, 1), past_key_values=cache)
    cache.reset()
    with torch.no_grad():
        assert torch.equal(composed(tokens(), past_key_values=cache).logits, composed(tokens()).logits)


def test_two_compositions_over_one_anchor_do_not_disturb_each_other() -> None:
    anchor = model("llama")
    one, two = compose(anchor, kv=model("gpt2", seed=1)), compose(anchor, kv=model("falcon", seed=2))
    with torch.no_grad():
        before = [which(tokens()).logits for which in (one, two, anchor)]
        two.disable("kv")
        assert torch.equal(one(tokens()).logits, before[0])
        assert torch.equal(two(tokens()).logits, before[2])
        two.enable("kv")
        del one
        gc.collect()
        assert torch.equal(two(tokens()).logits, before[1])
        assert torch.equal(anchor(tokens()).logits, before[2])


def test_the_anchor_alone_is_itself_in_the_middle_of_a_composed_forward() -> None:
    composed, seen = ring(0), []
    alone = composed.anchor(tokens()).logits

    def peek(*_: Any) -> None:
        seen.append(composed.anchor(tokens()).logits)

    handle = bridges(composed)[-1].register_forward_pre_hook(peek)
    with torch.no_grad():
        whole = composed(tokens()).logits
        handle.remove()
        assert torch.equal(seen[0], alone)
        assert torch.equal(composed(tokens()).logits, whole)


def test_a_composition_inside_a_forward_of_another_sees_its_own_pass() -> None:
    outer, inner, seen = ring(0), ring(1), []
    with torch.no_grad():
        expected = outer(tokens()).logits, inner(tokens(1, 5)).logits
        bridges(outer)[1].register_forward_pre_hook(lambda *_: seen.append(inner(tokens(1, 5)).logits))
        assert torch.equal(outer(tokens()).logits, expected[0])
    assert torch.equal(seen[0], expected[1])


def test_threads_do_not_meet() -> None:
    composed = ring(0)
    texts = [tokens(1, 5 + place, seed=place) for place in range(8)]
    with torch.no_grad():
        alone = [composed(text).logits for text in texts]

    def run(text: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = composed(text).logits
        return logits

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, texts))
    assert all(map(torch.equal, together, alone))


def test_a_composition_that_is_let_go_is_freed() -> None:
    anchor = model("llama")
    composed = compose(anchor, kv=model("gpt2", seed=1))
    composed(tokens(), labels=tokens()).loss.backward()
    composed.print_trainable_parameters()
    gone = weakref.ref(composed)
    del composed
    gc.collect()
    assert gone() is None
    assert isinstance(anchor, nn.Module)
