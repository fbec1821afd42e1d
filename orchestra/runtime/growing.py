"""Cache layers that grow in place: what is held already is not copied again for every token.

Only where no gradient is asked for: a backward pass may need what it saw as it was.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class GrowingLayer(DynamicLayer):
    """A layer with room for tokens to come; `keys` and `values` show what of it is filled.

    What transformers does to these (crop, reorder, repeat, select) may leave other tensors there; the next token then
    moves to a room of their size.
    """

    _rooms: tuple[Tensor | None, Tensor | None] = (None, None)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Start with nothing."""
        super().lazy_initialization(key_states, value_states)
        self._rooms = (None, None)

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append, and return all; arguments as for `DynamicLayer`."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = self._rooms
        keys, self.keys = appended(keys, self.keys, key_states)
        values, self.values = appended(values, self.values, value_states)
        self._rooms = keys, values
        return self.keys, self.values


def appended(room: Tensor | None, held: Tensor, new: Tensor) -> tuple[Tensor | None, Tensor]:
    """Put new columns behind those that are held, in their room if they have one and it is large enough.

    Args:
        room: where `held` may lie, ``(batch, heads, more, d_head)``.
        held: ``(batch, heads, past, d_head)``, or nothing at all.
        new: ``(batch, heads, new, d_head)``.

    Returns:
        The room that they have then, and all columns.
    """
    if torch.is_grad_enabled():
        return None, torch.cat([held, new], dim=-2)
    past = held.shape[-2] if held.numel() else 0
    total = past + new.shape[-2]
    if room is None or total > room.shape[-2] or not _lies_in(held, room):
        room = new.new_empty(*new.shape[:-2], total + max(64, total // 16), new.shape[-1])
        if past:
            room[..., :past, :] = held
    room[..., past:total, :] = new
    return room, room[..., :total, :]


def growing(cache: DynamicCache) -> DynamicCache:
    """The cache itself, its layers exchanged for growing ones, but those with a window or offloaded."""
    if not cache.offloading:
        cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
        if cache.layer_class_to_replicate is DynamicLayer:
            cache.layer_class_to_replicate = GrowingLayer
    return cache


def _lies_in(held: Tensor, room: Tensor) -> bool:
    """Whether these columns are the first of a room that may be written to."""
    same = held.data_ptr() == room.data_ptr() and held.shape[:2] == room.shape[:2] and held.stride() == room.stride()
    return same and (torch.is_inference_mode_enabled() or not room.is_inference())
