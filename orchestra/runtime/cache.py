"""One cache for the whole composition: the anchor's own, and within it each augment's and each bridge's."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig

from orchestra.errors import ComposeError
from orchestra.nn.bridge import Bridge, Folded, KeysValues
from orchestra.runtime.columns import Columns, move


class ComposedCache(DynamicCache):
    """The anchor's `DynamicCache`, that carries the caches of augments and bridges along.

    Whatever generation does to the cache (beams reorder it, assisted decoding crops it) it does to all of them. It
    remembers whose it is and which augments were on when it was filled, and refuses any other use.

    Attributes:
        prompt_length: how many tokens of each row, padding not counted, are its prompt; None while nobody said so.
            What an augment holds that reads the prompt only ends with the last of them, the anchor's part goes on.
        cut: at which token of each row the streams are cut next; None for the end of the prompt.
        columns: what each augment that reads a stream has read.
    """

    def __init__(
        self, anchor: PreTrainedConfig, augments: Mapping[str, DynamicCache], *, owner: str, offloading: bool = False
    ) -> None:
        super().__init__(config=anchor, offloading=offloading)
        self.augments = dict(augments)
        self.bridges = {name: DynamicCache(offloading=offloading) for name in augments}
        self.active: frozenset[str] = frozenset()
        self.prompt_length: Int[Tensor, " batch"] | None = None
        self.cut: Int[Tensor, " batch"] | None = None
        self.columns: dict[str, Columns] = {}
        self._owner = owner
        self._whole = True
        self._slots: dict[tuple[str, str], int] = {}
        self._folds: dict[tuple[str, str], Folded | None] = {}

    def admit(self, active: Iterable[str], *, owner: str, rows: int) -> None:
        """Note which augments are on, or refuse when this cache cannot be continued.

        Args:
            owner: the mark of the model that asks.
            rows: how many texts it would continue.

        Raises:
            ComposeError: it comes from another model, was left half filled, or holds tokens that were read with
                another set of augments or for another number of texts.
        """
        wanted = frozenset(active)
        if owner != self._owner:
            raise ComposeError("this cache was filled by another composed model: start with a fresh cache.")
        if not self._whole:
            raise ComposeError("a forward failed while it filled this cache: start with a fresh cache.")
        if self.get_seq_length() > 0:
            if wanted != self.active:
                raise ComposeError(
                    f"this cache was filled with {_names(self.active)} on, and now {_names(wanted)} "
                    "would be: start with a fresh cache."
                )
            self._admit_rows(rows)
        self.active = wanted

    def note_prompt(self, length: Int[Tensor, " batch"], held: Int[Tensor, " batch"] | int) -> None:
        """Remember how long each row's prompt is; while the cache holds nothing else, it may still grow.

        Args:
            held: how many tokens of each row the cache holds, padding not counted.

        Raises:
            ComposeError: of the tokens that it holds, others were read as the prompt, or it holds other texts.
        """
        begun = self.get_seq_length() > 0
        if begun and self.prompt_length is None and self.columns and (length <= held).any():
            raise ComposeError(
                f"prompt_length is {length.tolist()}, and this cache holds more, read when that was unknown: say it "
                "from the first forward on, or start with a fresh cache."
            )
        if begun and self.prompt_length is not None:
            self._admit_rows(length.shape[0])
            if not length.clamp_max(held).equal(self.prompt_length.clamp_max(held)):
                raise ComposeError(
                    f"this cache was filled with prompts of {self.prompt_length.tolist()} tokens, and now they would "
                    f"be of {length.tolist()}: drop prompt_length, or start with a fresh cache."
                )
        self.prompt_length = length

    def _admit_rows(self, rows: int) -> None:
        if rows != (held := self._rows()):
            raise ComposeError(f"this cache holds {held} texts, and {rows} would continue it: repeat its rows first.")

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Fill the cache inside a block; one that fails leaves it marked as not to be continued."""
        self._whole = False
        yield
        self._pack()
        self._whole = True

    def _pack(self) -> None:
        """Leave no padding behind the tokens of an augment that reads a stream."""
        for name, columns in self.columns.items():
            self.columns[name], order = columns.packed()
            if order is not None:
                move(self.augments[name], order)
                move(self.bridges[name], order)

    def extend(self, augment: str, site: str, new: KeysValues) -> KeysValues:
        """Append what a bridge read from the new tokens, and return all that it has read."""
        if (slot := self._slots.get((augment, site))) is None:
            slot = self._slots[augment, site] = sum(1 for name, _ in self._slots if name == augment)
        return KeysValues(*self.bridges[augment].update(new.keys, new.values, slot))

    def fold(self, bridge: Bridge) -> Folded | None:
        """The bridge's maps folded, once for all that this cache will hold; None while gradients are asked for."""
        if torch.is_grad_enabled():
            return None
        key = bridge.site.augment, bridge.site.key
        if key not in self._folds:
            self._folds[key] = bridge.fold()
        return self._folds[key]

    def read_before(self, augment: str, site: str) -> KeysValues:
        """What a bridge has read so far."""
        kept: Any = self.bridges[augment].layers[self._slots[augment, site]]
        return KeysValues(kept.keys, kept.values)

    def _rows(self) -> int:
        keys = next(keys for layer in self.layers if (keys := getattr(layer, "keys", None)) is not None)
        return int(keys.shape[0])

    def _parts(self) -> Iterator[DynamicCache]:
        yield from self.augments.values()
        yield from self.bridges.values()

    def _filled(self) -> Iterator[DynamicCache]:
        """The parts that hold tokens: not those of augments that are off."""
        return (part for part in self._parts() if part.get_seq_length() > 0)

    def _aligned(self) -> Iterator[DynamicCache]:
        """The filled parts whose columns are the anchor's, token for token."""
        for parts in (self.augments, self.bridges):
            yield from (p for name, p in parts.items() if name not in self.columns and p.get_seq_length() > 0)

    def reset(self) -> None:
        """Forget everything, the set of augments included."""
        super().reset()  # type: ignore[no-untyped-call]
        self.active = frozenset()
        self.prompt_length = self.cut = None
        self.columns = {}
        self._folds = {}
        self._whole = True
        for part in self._parts():
            part.reset()

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last tokens; the count is negative, as in transformers. Prompts stay as long as they were."""
        before = self.get_seq_length()
        super().crop(tokens_to_remove)
        left = self.get_seq_length()
        for part in self._aligned():
            held = part.get_seq_length()
            if held == before or held > left:  # else it ends with the prompt, before what is forgotten
                part.crop(left - held)
        self.columns = {name: columns.crop(left) for name, columns in self.columns.items()}
        self._pack()
        if left == 0:
            self.prompt_length = self.cut = None

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Rearrange the rows, as beam search does."""
        super().reorder_cache(beam_idx)  # type: ignore[arg-type]  # transformers passes int32 where it says long
        self._take_rows(lambda each: each.index_select(0, beam_idx.to(each.device)))
        for part in self._filled():
            part.reorder_cache(beam_idx)  # type: ignore[arg-type]

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        super().batch_repeat_interleave(repeats)
        self._take_rows(lambda each: each.repeat_interleave(repeats, dim=0))
        for part in self._filled():
            part.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows of these indices."""
        super().batch_select_indices(indices)
        self._take_rows(lambda each: each[indices])
        for part in self._filled():
            part.batch_select_indices(indices)

    def _take_rows(self, choose: Callable[[Tensor], Tensor]) -> None:
        """Take from what is kept for each row, outside of the caches, what becomes of the rows."""
        if self.prompt_length is not None:
            self.prompt_length = choose(self.prompt_length)
        if self.cut is not None:
            self.cut = choose(self.cut)
        for name, columns in self.columns.items():
            self.columns[name] = columns.rows(choose(torch.arange(len(columns.readings))).tolist())

    def activate_past_recording(self) -> None:
        """Keep what a later `crop` may need, in every part."""
        super().activate_past_recording()  # type: ignore[no-untyped-call]
        for part in self._parts():
            part.activate_past_recording()


def lower_layers(model: PreTrainedConfig, num_layers: int, *, offloading: bool = False) -> DynamicCache:
    """A cache for the layers of a model that run: transformers cannot crop one that was never filled."""
    cache = DynamicCache(config=model, offloading=offloading)
    del cache.layers[num_layers:]
    return cache


def ours(given: object) -> ComposedCache:
    """The cache itself.

    Raises:
        ComposeError: it is not a composed model's.
    """
    if not isinstance(given, ComposedCache):
        raise ComposeError(
            f"past_key_values is a {type(given).__name__}; a composed model continues only from a cache that it "
            "returned itself (static and quantized caches are not supported)."
        )
    return given


def _names(active: Iterable[str]) -> str:
    return ", ".join(sorted(active)) or "no augment"
