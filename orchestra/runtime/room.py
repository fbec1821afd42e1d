"""Cache layers that keep room for tokens to come: transformers' own copy all that they hold for every new token."""

from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

LARGE = 1 << 18
"""From how many bytes on a tensor gets room: smaller ones are copied in less time than is spent on writing in place."""

Cache = TypeVar("Cache", bound=DynamicCache)


def roomy(cache: Cache) -> Cache:
    """The same empty cache, its plain layers exchanged for ones with room; windows and the like stay as they are."""
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    if cache.layer_class_to_replicate is DynamicLayer:
        cache.layer_class_to_replicate = RoomyLayer
    return cache


class _Room:
    """Memory for more columns than are held.

    Attributes:
        filled: its filled columns, as they were last handed out. What came by way of anything else (rows reordered,
            columns cropped) is another tensor, and nothing is ever written behind it.
    """

    def __init__(self, held: Tensor, more: int) -> None:
        *shape, columns, d_head = held.shape
        self._whole = held.new_empty(*shape, columns + more + columns // 8, d_head)
        self.filled = self._whole.narrow(-2, 0, columns)
        self.filled.copy_(held)

    def takes(self, more: int) -> bool:
        """Whether so many columns still fit; memory made in inference mode may not be written outside of it."""
        left = self._whole.shape[-2] - self.filled.shape[-2]
        return more <= left and (torch.is_inference_mode_enabled() or not self._whole.is_inference())

    def append(self, new: Tensor) -> Tensor:
        """Write new columns behind the filled ones, and return all."""
        columns, more = self.filled.shape[-2], new.shape[-2]
        self._whole.narrow(-2, columns, more).copy_(new)
        self.filled = self._whole.narrow(-2, 0, columns + more)
        return self.filled


class RoomyLayer(DynamicLayer):
    """A `DynamicLayer` that writes behind what it holds, once that is large and where there are no gradients."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._rooms: list[_Room | None] = [None, None]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new columns, and return all."""
        keys, values = self.keys, self.values
        if torch.is_grad_enabled() or keys is None or values is None or keys.nbytes < LARGE:
            return super().update(key_states, value_states, *args, **kwargs)
        self.keys, self.values = self._append(0, keys, key_states), self._append(1, values, value_states)
        return self.keys, self.values

    def _append(self, which: int, held: Tensor, new: Tensor) -> Tensor:
        room = self._rooms[which]
        if room is None or room.filled is not held or not room.takes(new.shape[-2]):
            room = self._rooms[which] = _Room(held, new.shape[-2])
        return room.append(new)

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._rooms = [None, None]
