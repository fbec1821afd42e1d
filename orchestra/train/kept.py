"""The taps of all training records, on disk: made once, before the first step, and read at every step.

They lie in shards of some records each, in a folder named by all that they depend on: the models, how they are held and
joined, the tokens of every record. A shard is there whole or not at all. What was made is used again, also by other
trainings; whoever wants the room back deletes the folder.
"""

import hashlib
import json
import math
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset

from orchestra.errors import ModelError, TrainError
from orchestra.graph import ALIGNMENT_VERSION
from orchestra.io.safetensors_header import read_header
from orchestra.runtime.model import ComposedModel
from orchestra.runtime.sides import digests
from orchestra.runtime.taps import Taps
from orchestra.train.batches import PADDING, Examples, collate
from orchestra.train.encode import Example
from orchestra.train.interrupt import Wish
from orchestra.train.progress import tell
from orchestra.wiring import ANCHOR

FORMAT = 1
"""Raised when what is in a shard changes."""
SHARD_BYTES = 1 << 27
"""How large a shard is, about: as much is in memory while it is made."""
_SHARD_RECORDS = 1 << 12

Step = tuple[Example, Taps]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How taps are made.

    Attributes:
        folder: where shards go, into a folder of their own.
        computing: the dtype of a step, as a context: taps are made in it.
        rank, world_size: which process this is, of how many; each makes its share of the shards.
        wait: returns when every process has come here.
    """

    folder: Path
    pad_id: int
    batch_size: int
    bf16: bool
    computing: Callable[[], AbstractContextManager[Any]]
    wish: Wish
    rank: int = 0
    world_size: int = 1
    wait: Callable[[], None] = lambda: None

    def say(self, text: str) -> None:
        """Tell people, once."""
        if self.rank == 0:
            tell(text)


class Kept(Dataset[Step]):
    """The examples of a file with their taps, and at `PADDING` one without loss."""

    def __init__(self, examples: Sequence[Example], shards: Sequence[Path]) -> None:
        self._examples = Examples(examples)
        self._shards = [_Shard(path) for path in shards]
        self._place = [(shard, row) for shard in self._shards for row in range(len(shard))]

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Step:
        shard, row = self._place[index]  # at PADDING, the last
        return self._examples[index], shard[row]


def collate_kept(steps: Sequence[Step], pad_id: int) -> dict[str, Any]:
    """A batch, as `collate`, and the `taps` of its rows."""
    return {**collate([example for example, _ in steps], pad_id), "taps": [taps for _, taps in steps]}


def keep(model: ComposedModel, examples: Sequence[Example], how: Keeping) -> Kept:
    """Make the taps that are not there yet.

    Raises:
        TrainError: there is no room for them, they cannot be written, or the anchor does not go on from them as it
            should.
        KeyboardInterrupt: somebody asked to stop; the shards that are done stay.
    """
    records = [*examples, Examples(examples)[PADDING]]
    folder = how.folder / key(model, examples, bf16=how.bf16)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shards = {folder / f"{part.start}-{part.stop}.safetensors": part for part in _parts(model, records)}
        missing = {path: part for path, part in shards.items() if not _whole(path)}
        if missing:
            _announce(model, [records[index] for part in missing.values() for index in part], how, folder)
        how.wait()
        for number, (path, part) in enumerate(shards.items()):
            if path in missing and number % how.world_size == how.rank:
                _write(path, _made(model, records[part.start : part.stop], how))
                how.say(f"kept the taps of records {part.start + 1} to {part.stop} of {len(records)}")
        how.wait()
        kept = Kept(examples, list(shards))
    except (OSError, SafetensorError) as error:
        raise TrainError(f"keep_taps: {folder} cannot be used: {getattr(error, 'strerror', None) or error}.") from error
    _check(model, [kept[index] for index in range(min(how.batch_size, len(kept)))], how)
    return kept


def key(model: ComposedModel, examples: Sequence[Example], *, bf16: bool) -> str:
    """A name for all that taps depend on."""
    graph = model.plan.graph
    nodes = [node for node in graph.augments if node.name in model.active]
    sites = [site for site in graph.sites if site.augment in model.active and site.into == ANCHOR]
    between = [stack for stack in graph.stacks if {stack.augment, stack.into} <= {*model.active}]
    models = {"anchor": model.anchor, **{node.name: model.augment(node.name) for node in nodes}}
    what = {
        "format": FORMAT,
        "alignment": ALIGNMENT_VERSION,
        "transformers": transformers.__version__,
        "models": {name: model.identity(name).model_dump() for name in models},
        "held": {name: [str(each.dtype), each.device.type] for name, each in models.items()},
        "reads": {node.name: [node.reads, node.context, node.tail] for node in nodes},
        **({"fed": digests({each.name: model.stack(each.augment, each.into) for each in between})} if between else {}),
        "bf16": bf16,
        "tapped": sorted({(site.augment, site.augment_layer) for site in sites}),
        "lowest": min(site.depth for site in sites),
        "records": [[example.ids, example.num_prompt] for example in examples],
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _parts(model: ComposedModel, records: Sequence[Example]) -> Iterator[range]:
    """Which records go into which shard: the same whenever it is asked, however taps are made."""
    sites = (site for site in model.plan.graph.sites if site.into == ANCHOR)
    widths = {(site.augment, site.augment_layer): site.d_augment for site in sites}
    token_bytes = 4 * (sum(widths.values()) + model.plan.graph.anchor.facts.d_model)
    start, held = 0, 0
    for index, record in enumerate(records):
        held += token_bytes * len(record.ids)
        if held >= SHARD_BYTES or index + 1 - start == _SHARD_RECORDS or index + 1 == len(records):
            yield range(start, index + 1)
            start, held = index + 1, 0


def _announce(model: ComposedModel, records: Sequence[Example], how: Keeping, folder: Path) -> None:
    """Say how large the taps of these records will be, and refuse what has no room."""
    some = records[:: -(-len(records) // how.batch_size)]  # evenly spread
    sample = sum(tensor.nbytes for taps in _taps(model, some, how) for tensor in taps.values())
    size = sample * sum(len(record.ids) for record in records) // sum(len(record.ids) for record in some)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise TrainError(
            f"keep_taps: the taps of {len(records)} records take about {_size(size)}, and {how.folder} has room for "
            f"{_size(free)}: give a folder with more, or train without."
        )
    how.say(f"keeping the taps of {len(records)} records, about {_size(size)}, in {folder}")


def _made(model: ComposedModel, records: Sequence[Example], how: Keeping) -> list[Taps]:
    """The taps of one shard, on the CPU."""
    made: list[Taps] = []
    for start in range(0, len(records), how.batch_size):
        if how.wish.stop:
            raise KeyboardInterrupt("stopped while taps were made; the same command goes on from there.")
        made += _taps(model, records[start : start + how.batch_size], how)
    return made


def _taps(model: ComposedModel, records: Sequence[Example], how: Keeping) -> list[Taps]:
    batch = {name: tensor.to(model.device) for name, tensor in collate(records, how.pad_id).items()}
    with how.computing():
        rows = model.taps(**batch)
    return [{key: tensor.cpu() for key, tensor in taps.items()} for taps in rows]


def _check(model: ComposedModel, steps: Sequence[Step], how: Keeping) -> None:
    """See that a batch has the same loss on its taps as without them: not every anchor may go on as others do."""
    batch = collate_kept(steps, how.pad_id)
    taps = batch.pop("taps")
    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    with torch.no_grad(), how.computing():
        on_taps, without = (float(model(**batch, use_cache=False, taps=given).loss) for given in (taps, None))
    coarse = how.bf16 or any(tensor.dtype.itemsize < 4 for tensor in taps[0].values())
    if math.isfinite(without) and not abs(on_taps - without) <= (0.05 if coarse else 1e-3) * max(1.0, without):
        raise TrainError(
            f"keep_taps: the loss of the first records is {on_taps:.6f} on their taps and {without:.6f} without: "
            f"{type(model.anchor).__name__} does not go on from the middle as other models do; train without."
        )


class _Shard:
    """The taps of some records, in a mapped file: only what is looked at is read."""

    def __init__(self, path: Path) -> None:
        self._tensors = load_file(path)
        counts = {name.removesuffix(".ends"): ends for name, ends in self._tensors.items() if name.endswith(".ends")}
        self._ends = {name: [0, *ends.tolist()] for name, ends in counts.items()}

    def __len__(self) -> int:
        return max(map(len, self._ends.values())) - 1

    def __getitem__(self, row: int) -> Taps:
        taps = {}
        for name, tensor in self._tensors.items():
            model, _, layer = name.rpartition(".")
            if layer != "ends":
                taps[model, int(layer)] = tensor[self._ends[model][row] : self._ends[model][row + 1]]
        return taps


def _write(path: Path, rows: Sequence[Taps]) -> None:
    """Write a shard: for each model and layer the states of all records one after another, and where each one ends."""
    tensors: dict[str, Tensor] = {}
    for model, layer in rows[0]:
        each = [taps[model, layer] for taps in rows]
        tensors[f"{model}.{layer}"] = torch.cat(each)
        tensors[f"{model}.ends"] = torch.tensor([len(states) for states in each]).cumsum(0)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        save_file(tensors, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _whole(path: Path) -> bool:
    try:
        return bool(read_header(path))
    except ModelError:
        return False


def _size(num_bytes: float) -> str:
    """A size for people."""
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} GB"
