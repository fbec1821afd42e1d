"""swap(): the paper's controls on a user's own graph, trained on the same data with the same budget. On one page."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from orchestra.api import load
from orchestra.errors import DataError, TrainError
from orchestra.io.bundle import read_config
from orchestra.io.checkpoint import file_sha256, write_atomically
from orchestra.io.merge_facts import weights_fingerprint
from orchestra.runtime.model import ComposedModel
from orchestra.runtime.prompt import readers as prompt_readers
from orchestra.train.batches import steps_per_epoch
from orchestra.train.budget import budget, differences, is_record
from orchestra.train.held_out import Scores, distinct, repeated, score, split
from orchestra.train.prepare import Prepared, identity, prepare, reading
from orchestra.train.progress import tell
from orchestra.train.run import train
from orchestra.train.spec import TrainSpec
from orchestra.train.swap_graph import Source, below, original, swapped
from orchestra.train.swap_result import SwapResult, row
from orchestra.train.swap_spec import Swap, SwapSpec

GRAPH_FILE, SCORES_FILE = "graph.json", "scores.json"
_SCORED = 2
"""How records are scored: what was scored otherwise is scored again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Control:
    """A composition to score, and before that to train.

    Attributes:
        swap: None of the original.
        document: its graph, with a fresh stack.
        bundle: the user's own, which is taken as it is; None where the stack is trained.
        recipe: of the original, what its bundle says of its training.
    """

    augment: str
    swap: Swap | None
    document: dict[str, Any]
    spec: TrainSpec
    prepared: Prepared
    bundle: Path | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        if self.swap is not None:
            return self.swap.name
        return f"{self.augment}, trained again" if self.bundle is None else f"{self.augment}, as it is"

    @property
    def steps(self) -> int:
        spec = self.spec
        by_epoch = steps_per_epoch(len(self.prepared.train), spec.batch_size * spec.gradient_accumulation)
        return spec.steps or (spec.epochs or 1) * by_epoch

    @property
    def identity(self) -> str:
        """What decides its weights."""
        batch = self.spec.batch_size * self.spec.gradient_accumulation
        told = identity(self.prepared, self.spec, steps=self.steps, global_batch=batch)
        return _digest(told, None if self.bundle is None else read_config(self.bundle).weights_sha256)


def swap(source: str | Path | Mapping[str, Any], spec: SwapSpec) -> SwapResult:
    """Train the stack of an augment again with something else in the augment's place, and score both.

    The user's graph is only read. An original is trained again as well, unless its record shows the same data and
    budget. Everything is checked before anything is trained; stopped, the same call goes on from there.

    Raises:
        TrainError, DataError: the settings or the records are not as they should be, or another process works there.
        KeyboardInterrupt: it was stopped by Ctrl-C or SIGTERM; a training had its checkpoint written.
        OrchestraError: as `orchestra.load`.
    """
    known = Source.of(source)
    data, held_out = _data(spec)
    controls = [
        each
        for augment in dict.fromkeys(each.augment for each in spec.swaps)
        for each in _controls(known, spec, augment, data, held_out)
    ]
    with _alone(spec.output):
        kept = _Kept(spec, file_sha256(held_out))
        rows, beside = [row("anchor alone", kept.anchor(controls[0]), trained=0)], dict[str, Scores]()
        for each in controls:
            scores, trained = kept.control(source, each)
            graph = each.spec.output / GRAPH_FILE if each.bundle is None else None
            rows.append(row(each.name, scores, trained=trained, graph=graph, beside=beside.get(each.augment)))
            beside.setdefault(each.augment, scores)  # the original comes first
    return SwapResult(rows=tuple(rows), notes=tuple(_notes(spec, controls)))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Work in a folder that nobody else works in."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise TrainError(f"output {folder}: another process works there; wait for it, or name another.") from None
    try:
        yield
    finally:
        lock.release()


def _data(spec: SwapSpec) -> tuple[Path, Path]:
    """What is trained on, and what is held out."""
    if spec.eval_data is None:
        seed = int(spec.budget.get("seed", 0))
        told = _digest(file_sha256(spec.data), spec.held_out, seed)[:12]
        return split(spec.data, spec.output / f"data-{told}", share=spec.held_out, seed=seed)
    if file_sha256(spec.eval_data) == file_sha256(spec.data):
        raise DataError(f"{spec.eval_data}: is the data that is trained on: hold other records out.")
    return spec.data, spec.eval_data


def _controls(known: Source, spec: SwapSpec, augment: str, data: Path, held_out: Path) -> Iterator[_Control]:
    """The original of an augment, and its controls, all checked."""
    bundle = known.bundle(augment)
    recipe = {} if bundle is None else read_config(bundle).recipe
    fields = budget(recipe, spec.budget)

    def control(document: dict[str, Any], swap: Swap | None) -> _Control:
        output = spec.output / (f"{augment}-original" if swap is None else swap.place)
        told = TrainSpec(data=data, output=output, augments=(augment,), **fields)
        prepared = prepare(document, replace(told, eval_data=held_out))
        return _Control(augment=augment, swap=swap, document=document, spec=told, prepared=prepared)

    first = control(original(known, augment), None)
    same = bundle is not None and is_record(recipe) and not list(_differences(first, recipe))
    yield replace(first, bundle=bundle if same else None, recipe=recipe)
    for each in spec.swaps:
        if each.augment == augment:
            yield control(swapped(known, each, spec.output / each.place, seed=int(fields.get("seed", 0))), each)


def _differences(first: _Control, recipe: Mapping[str, Any]) -> Iterator[str]:
    """In what the original's record is not that of the controls' training."""
    readers = prompt_readers(first.prepared.plan, first.prepared.on)
    (stack,) = first.prepared.plan.graph.stacks
    seen = {
        "trained": first.augment,
        "beside": None,
        "prompt_only": ", ".join(readers) or None,
        "data_sha256": file_sha256(first.spec.data),
        "continues": None,
        "bridge_seed": stack.seed or None,
    }
    return differences(recipe, first.spec, steps=first.steps, seen=seen)


def _notes(spec: SwapSpec, controls: list[_Control]) -> Iterator[str]:
    """What a reader must know."""
    first = controls[0].prepared
    held_out, again = distinct(first.evaluation or ()), len(first.evaluation or ())
    again -= len(held_out)
    whence = f"a share of {spec.held_out:g} of {spec.data.name}" if spec.eval_data is None else spec.eval_data.name
    also = repeated(first.train, held_out)
    line = f"{len(held_out):,} records are held out ({whence}); {len(first.train):,} are trained on."
    if again:
        line += f" {again:,} more stood there again, and count once."
    if also:
        line += f" {also:,} of the held-out records have prompts that are trained on as well: they say little."
    yield line
    for each in controls:
        if each.swap is None:
            yield f"{each.augment}: {_budget(each)}"


def _budget(first: _Control) -> str:
    """The budget of an augment's rows, and which original it is."""
    spec, batch = first.spec, first.spec.batch_size * first.spec.gradient_accumulation
    line = (
        f"{first.steps:,} steps of {batch}, learning rate {spec.learning_rate:g} ({spec.schedule}, warmup "
        f"{spec.warmup}), seed {spec.seed}"
    )
    if first.bundle is not None:
        return f"{line}: as its bundle was trained, which is taken as it is."
    if not is_record(first.recipe):
        return f"{line}. The original is trained again: no record of `orchestra train` says how it was."
    return f"{line}. The original is trained again: {'; '.join(_differences(first, first.recipe))}."


class _Kept:
    """Scores, kept on disk as they come, so that nothing is made twice."""

    def __init__(self, spec: SwapSpec, held_out: str) -> None:
        self._told, self._path = (_SCORED, held_out, spec.asked), spec.output / SCORES_FILE
        again = spec.budget.get("resume") is False or not self._path.is_file()
        self._found: dict[str, Any] = {} if again else json.loads(self._path.read_text(encoding="utf-8"))
        self._asked = spec.asked

    def anchor(self, first: _Control) -> Scores:
        """The anchor with nothing on."""
        anchor = first.prepared.plan.graph.anchor
        key = _digest(weights_fingerprint(anchor.facts), reading(anchor), first.spec.bf16, *self._told)
        if key not in self._found:
            tell("scoring the anchor alone")
            model = load(first.document)
            with model.only():
                self._keep(key, self._score(model, first), 0)
        return self._read(key)[0]

    def control(self, source: str | Path | Mapping[str, Any], each: _Control) -> tuple[Scores, int]:
        """A composition, which is trained if it is none that is taken as it is."""
        key = _digest(each.identity, *self._told)
        if key not in self._found:
            model = load(source if each.bundle is not None else each.document)
            if each.bundle is None:
                tell(f"training {each.name}")
                train(model, each.spec)
                _write_graph(each)
            tell(f"scoring {each.name}")
            with model.only(each.augment):
                self._keep(
                    key, self._score(model, each), sum(w.numel() for w in model.stack(each.augment).parameters())
                )
        return self._read(key)

    def _score(self, model: ComposedModel, each: _Control) -> Scores:
        return score(
            model,
            distinct(each.prepared.evaluation or ()),
            batch_size=each.spec.batch_size,
            asked=self._asked,
            pad_id=each.prepared.pad_id,
            bf16=each.spec.bf16,
        )

    def _keep(self, key: str, scores: Scores, trained: int) -> None:
        self._found[key] = {"trained": trained, "scores": asdict(scores)}
        write_atomically(self._path, json.dumps(self._found))

    def _read(self, key: str) -> tuple[Scores, int]:
        found = self._found[key]
        return Scores(**{name: tuple(values) for name, values in found["scores"].items()}), int(found["trained"])


def _write_graph(each: _Control) -> None:
    """The graph that loads a control."""
    folder = each.spec.output
    content = below(each.document, folder, folder / each.augment)
    write_atomically(folder / GRAPH_FILE, json.dumps(content, indent=2) + "\n")


def _digest(*told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
