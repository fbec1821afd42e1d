"""One cache for the whole composition: the anchor's own, and within it each augment's and each bridge's."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig

from orchestra.errors import ComposeError
from orchestra.nn.bridge import KeysValues


class ComposedCache(DynamicCache):
    """The anchor's `DynamicCache`, that carries the caches of augments and bridges along.

    Whatever generation does to the cache (beams reorder it, assisted decoding crops it) it does to all of them. It
    remembers which augments were on when it was filled, and refuses to be used with another set.
    """

    def __init__(self, anchor: PreTrainedConfig, augments: Mapping[str, PreTrainedConfig]) -> None:
        super().__init__(config=anchor)
        self.augments = {name: DynamicCache(config=config) for name, config in augments.items()}
        self.bridges = {name: DynamicCache() for name in augments}
        self._slots: dict[tuple[str, str], int] = {}
        self.active: frozenset[str] | None = None

    def admit(self, active: Iterable[str]) -> None:
        """Note which augments are on, or refuse when they are not those that filled this cache.

        Raises:
            ComposeError: the cache holds tokens that were read with another set of augments.
        """
        wanted = frozenset(active)
        if self.get_seq_length() > 0 and self.active is not None and wanted != self.active:
            raise ComposeError(
                f"this cache was filled with {_names(self.active)} on, and now {_names(wanted)} "
                "would be: start with a fresh cache."
            )
        self.active = wanted

    def extend(self, augment: str, site: str, new: KeysValues) -> KeysValues:
        """Append what a bridge read from the new tokens, and return all that it has read."""
        slot = self._slots.setdefault((augment, site), sum(1 for name, _ in self._slots if name == augment))
        return KeysValues(*self.bridges[augment].update(new.keys, new.values, slot))

    def _parts(self) -> Iterator[DynamicCache]:
        yield from self.augments.values()
        yield from self.bridges.values()

    def reset(self) -> None:
        """Forget everything, the set of augments included."""
        super().reset()  # type: ignore[no-untyped-call]
        self.active = None
        for part in self._parts():
            part.reset()

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last tokens; the count is negative, as in transformers."""
        super().crop(tokens_to_remove)
        for part in self._parts():
            part.crop(tokens_to_remove)

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Rearrange the rows, as beam search does."""
        super().reorder_cache(beam_idx)
        for part in self._parts():
            part.reorder_cache(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        super().batch_repeat_interleave(repeats)
        for part in self._parts():
            part.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows of these indices."""
        super().batch_select_indices(indices)
        for part in self._parts():
            part.batch_select_indices(indices)

    def activate_past_recording(self) -> None:
        """Keep what a later `crop` may need, in every part."""
        super().activate_past_recording()  # type: ignore[no-untyped-call]
        for part in self._parts():
            part.activate_past_recording()


def _names(active: Iterable[str]) -> str:
    return ", ".join(sorted(active)) or "no augment"
