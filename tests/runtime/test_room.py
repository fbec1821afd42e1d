import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from orchestra.runtime import room
from orchestra.runtime.columns import move
from orchestra.runtime.room import RoomyLayer, roomy
from tests.tiny import model, ring, tokens

ROWS, HEADS, D_HEAD = 2, 3, 5


def columns(count: int, *, seed: int = 0) -> Tensor:
    """New keys, and values beside them."""
    return torch.randn(2, ROWS, HEADS, count, D_HEAD, generator=torch.Generator().manual_seed(seed))


def memory(layer: RoomyLayer) -> list[int]:
    """Where its keys and values begin."""
    assert layer.keys is not None
    assert layer.values is not None
    return [layer.keys.untyped_storage().data_ptr(), layer.values.untyped_storage().data_ptr()]


@torch.no_grad()
def filled(*counts: int, layer: RoomyLayer | None = None) -> tuple[RoomyLayer, Tensor]:
    """A layer that was given so many columns one after another, and all of them side by side."""
    layer = layer or RoomyLayer()
    parts = [columns(count, seed=count) for count in counts]
    for part in parts:
        layer.update(*part)
    return layer, torch.cat(parts, dim=-2)


def holds(layer: RoomyLayer, expected: Tensor) -> bool:
    return torch.stack([layer.keys, layer.values]).equal(expected)  # type: ignore[list-item]  # it is not empty


def test_what_is_held_is_what_was_given_and_stays_where_it_is_while_there_is_room() -> None:
    layer, given = filled(64, 1)
    before = memory(layer)
    for count in (2, 5):
        more = columns(count, seed=count)
        with torch.no_grad():
            keys, values = layer.update(*more)
        given = torch.cat([given, more], dim=-2)
        assert holds(layer, given)
        assert torch.stack([keys, values]).equal(given)
    assert memory(layer) == before
    filled(3, layer=layer)
    assert memory(layer) != before
    assert layer.get_seq_length() == 75


def test_an_eighth_more_is_kept_than_what_is_held() -> None:
    layer, _ = filled(64, 1)
    assert layer.keys is not None
    assert layer.keys.untyped_storage().nbytes() == ROWS * HEADS * (64 + 1 + 8) * D_HEAD * 4


def test_what_was_handed_out_never_changes() -> None:
    layer, _ = filled(64, 1)
    early = layer.keys
    assert early is not None
    kept = early.clone()
    layer.crop(-3)
    filled(7, layer=layer)
    assert early.equal(kept)
    twin = copy.copy(layer)  # both stand before the same room
    one, expected = filled(2, layer=layer)
    other, _ = filled(1, layer=twin)
    assert one.keys is not None
    assert other.keys is not None
    assert one.keys[..., -2:, :].equal(expected[0])
    assert other.keys[..., -1:, :].equal(columns(1, seed=1)[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.crop(-5),
        lambda layer: layer.reorder_cache(torch.tensor([1, 0])),
        lambda layer: layer.batch_select_indices(torch.tensor([1])),
        lambda layer: layer.batch_repeat_interleave(3),
    ],
    ids=["crop", "reorder", "select", "repeat"],
)
def test_changes_are_those_of_transformers(change: Any) -> None:
    layer, given = filled(64, 1)
    plain: Any = DynamicLayer()
    plain.update(*given)
    for each in (layer, plain):
        change(each)
    rows = plain.keys.shape[0]
    more = columns(1)[:, :1].expand(-1, rows, -1, -1, -1)
    with torch.no_grad():
        for each in (layer, plain):
            each.update(*more)
    assert holds(layer, torch.stack([plain.keys, plain.values]))


def test_a_deep_copy_goes_its_own_way() -> None:
    layer, given = filled(64, 1)
    twin = copy.deepcopy(layer)
    filled(2, layer=layer)
    assert holds(twin, given)
    filled(3, layer=twin)
    assert holds(twin, torch.cat([given, columns(3, seed=3)], dim=-2))
    assert holds(layer, torch.cat([given, columns(2, seed=2)], dim=-2))


def test_small_tensors_and_those_with_gradients_are_joined_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, _ = filled(64, 1)
    before = memory(layer)
    layer.update(*columns(1).requires_grad_())
    assert memory(layer) != before
    assert layer.keys is not None
    assert layer.keys.requires_grad
    monkeypatch.setattr(room, "LARGE", ROWS * HEADS * 64 * D_HEAD * 4)
    small, _ = filled(63, 1)
    assert small._rooms == [None, None]
    large, _ = filled(64, 1)
    assert None not in large._rooms


def test_what_was_read_in_inference_mode_goes_on_outside_of_it() -> None:
    layer = RoomyLayer()
    with torch.inference_mode():
        filled(64, 1, layer=layer)
    filled(2, layer=layer)
    assert layer.get_seq_length() == 67


def test_after_a_reset_a_layer_is_as_new() -> None:
    layer, _ = filled(64, 1)
    layer.reset()
    assert layer.get_seq_length() == 0
    assert layer._rooms == [None, None]
    _, given = filled(7, 1, layer=layer)
    assert holds(layer, given)


def test_only_plain_layers_get_room() -> None:
    config = model("gemma3").config
    plain = [type(layer).__name__ for layer in DynamicCache(config=config).layers]
    assert set(plain) == {"DynamicLayer", "DynamicSlidingWindowLayer"}
    changed = [type(layer).__name__ for layer in roomy(DynamicCache(config=config)).layers]
    assert changed == [name.replace("DynamicLayer", "RoomyLayer") for name in plain]
    assert roomy(DynamicCache()).layer_class_to_replicate is RoomyLayer


def test_with_no_augment_on_and_for_offloading_layers_are_those_of_transformers() -> None:
    composed = ring(0)

    def kinds(**words: Any) -> set[str]:
        with torch.no_grad():
            cache = composed(tokens(), past_key_values=composed.new_cache(**words)).past_key_values
        return {type(layer).__name__ for part in (cache, *cache._parts()) for layer in part.layers}

    assert "RoomyLayer" in kinds()
    assert "RoomyLayer" not in kinds(offloading=True)
    with composed.only():
        assert "RoomyLayer" not in kinds()


def test_columns_move_in_layers_that_hold_some_and_others_stay_empty() -> None:
    cache = DynamicCache(config=model("llama").config)
    held = torch.arange(6.0).reshape(1, 1, 3, 2)
    cache.update(held, held + 10, 0)
    move(cache, torch.tensor([[2, 0, 1]]))
    layers: list[Any] = cache.layers
    first = layers[0]
    assert first.keys[0, 0].tolist() == [[4.0, 5.0], [0.0, 1.0], [2.0, 3.0]]
    assert first.values.equal(first.keys + 10)
    assert len(layers) > 1
    assert not any(layer.is_initialized for layer in layers[1:])
