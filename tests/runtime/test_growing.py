from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from orchestra.runtime.growing import GrowingLayer, growing
from tests.configs import config

HEADS, D_HEAD = 3, 5
steps = st.lists(
    st.one_of(
        st.tuples(st.just("update"), st.integers(1, 71)),
        st.tuples(st.just("crop"), st.integers(1, 3)),
        st.tuples(st.just("reorder_cache"), st.integers(0, 1)),
        st.tuples(st.just("batch_repeat_interleave"), st.just(2)),
        st.tuples(st.just("batch_select_indices"), st.integers(0, 1)),
        st.tuples(st.just("reset"), st.just(0)),
    ),
    min_size=2,
    max_size=13,
)


def states(rows: int, columns: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    keys, values = torch.randn(2, rows, HEADS, columns, D_HEAD, generator=torch.Generator().manual_seed(seed))
    return keys, values


@torch.no_grad()
@given(steps)
def test_whatever_happens_to_it_a_growing_layer_holds_what_a_plain_one_holds(taken: list[tuple[str, int]]) -> None:
    layers: tuple[Any, Any] = GrowingLayer(), DynamicLayer()
    rows = 2
    for seed, (what, count) in enumerate([("update", 7), *taken]):
        if what == "update":
            keys, values = states(rows, count, seed=seed)
            ours, theirs = (layer.update(keys, values) for layer in layers)
            assert all(map(torch.equal, ours, theirs))
            continue
        for layer in layers:
            if what == "crop":
                layer.crop(-min(count, layer.get_seq_length()))
            elif what == "reset":
                layer.reset()
            elif what == "batch_repeat_interleave" and rows < 8:
                layer.batch_repeat_interleave(count)
            elif what in ("reorder_cache", "batch_select_indices"):
                getattr(layer, what)(torch.arange(rows).roll(1) // (1 + count))
        rows = 2 if what == "reset" else 2 * rows if what == "batch_repeat_interleave" and rows < 8 else rows
        if layers[1].get_seq_length() == 0:
            rows = 2
            for layer in layers:
                layer.reset()
        assert layers[0].get_seq_length() == layers[1].get_seq_length()


@torch.no_grad()
def test_a_token_more_is_written_behind_the_others_without_moving_them() -> None:
    layer = GrowingLayer()
    layer.update(*states(2, 7))
    places = set()
    for seed in range(300):
        layer.update(*states(2, 1, seed=seed))
        assert layer.keys is not None
        places.add(layer.keys.data_ptr())
    assert len(places) <= 6


def test_where_gradients_are_asked_for_nothing_is_overwritten() -> None:
    layer = GrowingLayer()
    with torch.no_grad():
        layer.update(*states(2, 7))
        layer.update(*states(2, 1))
    keys, values = (state.requires_grad_() for state in states(2, 3))
    seen = layer.update(keys, values)[0]
    loss = seen.square().sum()
    with torch.no_grad():
        layer.crop(-3)
        layer.update(*states(2, 3, seed=1))
    loss.backward()
    torch.testing.assert_close(keys.grad, 2 * keys.detach())


def test_what_was_filled_in_inference_mode_goes_on_outside_of_it() -> None:
    layer = GrowingLayer()
    with torch.inference_mode():
        layer.update(*states(2, 7))
    with torch.no_grad():
        keys, _ = layer.update(*states(2, 1))
    assert keys.shape == (2, HEADS, 8, D_HEAD)


def test_layers_with_a_window_and_offloaded_ones_stay_as_they_are() -> None:
    windowed = growing(DynamicCache(config=config("gemma3")))
    assert {type(layer) for layer in windowed.layers} == {GrowingLayer, DynamicSlidingWindowLayer}
    assert growing(DynamicCache()).layer_class_to_replicate is GrowingLayer
    offloaded = DynamicCache(config=config("llama"))
    offloaded.offloading = True
    assert {type(layer) for layer in growing(offloaded).layers} == {DynamicLayer}
