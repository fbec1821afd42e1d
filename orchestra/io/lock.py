"""A lock pins every model, bundle and tokenizer of a graph to a commit and the SHA-256 of each file. No torch.

It lies beside the graph: `graph.lock.json` beside `graph.json`. `load` refuses what is not as it was locked.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError

from orchestra.errors import LockError
from orchestra.files import CONFIG_BYTES, read_text, strict_json
from orchestra.graph import Graph, Node, Origin
from orchestra.io.bundle import CONFIG_FILE, WEIGHTS_FILE
from orchestra.io.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, remembered_sha256, weight_files, write_atomically
from orchestra.io.hosted import MODEL_SUFFIXES
from orchestra.merging.document import parts, references, replaced
from orchestra.problems import printable
from orchestra.spec import AugmentSpec, Closed, GraphSpec, ModelSpec, Text

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Model = TypeVar("Model", bound=ModelSpec)


class Pin(Closed):
    """What one field of a document named when it was locked.

    Attributes:
        source, revision: the words of the document.
        commit: of a repository on the Hub, the commit that they stood for.
        adapter: likewise of the adapter that is added to a model of a merge.
        files: SHA-256 by name, of every file that is read.
    """

    source: Text
    revision: Text | None = None
    commit: Commit | None = None
    adapter: Commit | None = None
    files: dict[Text, Digest] = Field(min_length=1)


class Lock(Closed):
    """The content of a lock: a pin for each field that names files."""

    format: Literal["orchestra/lock@1"] = "orchestra/lock@1"
    pins: dict[Text, Pin]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What a field named, and where that was found; its kind is the field's last word."""

    field: str
    source: str
    revision: str | None
    path: Path
    origin: Origin | None
    kind: str
    adapter: Path | None = None
    adapter_origin: Origin | None = None


def lock_path(graph: Path) -> Path:
    """Where the lock of a graph lies."""
    return graph.with_name(f"{graph.stem}.lock.json")


def read_lock(path: Path) -> Lock | None:
    """The lock of that name; None where there is none.

    Raises:
        LockError: it cannot be read, or is none.
    """
    try:
        text = read_text(path, CONFIG_BYTES)
        strict_json(text)
        return Lock.model_validate_json(text)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LockError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValidationError as error:  # a ValueError, as the next one: it comes first
        details = error.errors(include_url=False)
        raise LockError.listing(
            f"{path}: {'.'.join(map(printable, detail['loc']))}: {detail['msg'][0].lower()}{detail['msg'][1:]}."
            for detail in details
        ) from error
    except (ValueError, RecursionError) as error:
        raise LockError(f"{path}: is not JSON.") from error


def pinned(spec: GraphSpec, lock: Lock, path: Path) -> GraphSpec:
    """A document with the commits of its lock in place of its revisions.

    Raises:
        LockError: the lock was made for other fields.
    """
    fields = {field: (source, revision) for field, source, revision in named(spec)}
    problems = [
        f"{path}: {field} is {_words(*fields[field])}, and {_words(pin.source, pin.revision)} is locked"
        for field, pin in lock.pins.items()
        if field in fields and fields[field] != (pin.source, pin.revision)
    ]
    problems += [f"{path}: {field} is not locked" for field in fields if field not in lock.pins]
    problems += [
        f"{path}: locks {printable(field)}, which the graph does not name" for field in lock.pins if field not in fields
    ]
    if problems:
        raise LockError.listing(f"{problem}; lock the graph again." for problem in problems)
    augments = {name: _committed(name, augment, lock.pins) for name, augment in spec.augments.items()}
    return spec.model_copy(update={"anchor": _at(spec.anchor, "anchor", lock.pins), "augments": augments})


def _at(model: Model, where: str, pins: Mapping[str, Pin]) -> Model:
    """A model with the commits that are locked, of the models of a merge too."""
    changes: dict[str, Any] = {}
    pin = pins.get(f"{where}.model")
    changes |= {"revision": pin.commit} if pin is not None and pin.commit is not None else {}

    def at(field: str, name: str) -> str:
        pin = pins.get(f"{where}.model.merge.{field}")
        commits = (pin.commit, pin.adapter) if pin else (None, None)
        if commits == (None, None):
            return name
        places = zip(parts(name), commits, strict=False)
        return "+".join(f"{source}@{commit}" if commit else source for (source, _), commit in places)

    if not isinstance(model.model, str):
        changes["model"] = model.model.model_copy(update={"merge": replaced(model.model.merge, at)})
    return model.model_copy(update=changes)


def _committed(name: str, augment: AugmentSpec, pins: Mapping[str, Pin]) -> AugmentSpec:
    """An augment with the commits that are locked, of its bundles too."""
    bundles = [into for into, bridges in augment.feeds().items() if isinstance(bridges, str)]
    locked = {into: pins[augment.field(name, into)].commit for into in bundles}
    found = {into: commit or augment.revision_of(into) for into, commit in locked.items()}
    own: dict[str, Any] = {}
    if revisions := {into: revision for into, revision in found.items() if revision is not None}:
        own["bridges_revision"] = revisions if isinstance(augment.into, dict) else next(iter(revisions.values()))
    return _at(augment, f"augments.{name}", pins).model_copy(update=own)


def take(spec: GraphSpec, graph: Graph) -> Lock:
    """The lock of a graph as its files are now; all of them must be there.

    Args:
        spec: the document, with its own revisions.

    Raises:
        ModelError: files are missing, or cannot be read.
    """
    return Lock(
        pins={
            place.field: Pin(
                source=place.source,
                revision=place.revision,
                commit=place.origin.commit if place.origin else None,
                adapter=place.adapter_origin.commit if place.adapter_origin else None,
                files=_digests(place),
            )
            for place in _places(spec, graph)
        }
    )


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock, whole or not at all."""
    write_atomically(path, json.dumps(lock.model_dump(exclude_none=True), indent=2) + "\n")


def verify(lock: Lock, path: Path, spec: GraphSpec, graph: Graph, *, besides: Collection[str] = ()) -> None:
    """Hold every file to its lock.

    Args:
        besides: fields that are not read, since what they name comes from memory.

    Raises:
        LockError: files have changed, are missing or are new; each is named.
    """
    problems: list[str] = []
    for place in _places(spec, graph):
        if place.field not in besides:
            problems += (f"{path}: {place.field}: {line}" for line in _changes(place, lock.pins[place.field].files))
    if problems:
        raise LockError.listing(problems)


def _changes(place: _Place, locked: Mapping[str, str]) -> Iterator[str]:
    found = _digests(place)
    for name in sorted(locked.keys() | found.keys()):
        if name not in found:
            yield f"{printable(name)} is locked, and missing in {place.path}."
        elif name not in locked:
            yield f"{name} is in {place.path}, and not locked."
        elif found[name] != locked[name]:
            yield f"{name} has SHA-256 {found[name]}, and {locked[name]} is locked."


def _digests(place: _Place) -> dict[str, str]:
    added = [place.adapter / name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)] if place.adapter else []
    return {path.name: remembered_sha256(path) for path in (*_files(place), *added)}


def _files(place: _Place) -> list[Path]:
    """The files that are read of a model, a bundle or a tokenizer."""
    if place.path.is_file():
        return [place.path]
    if place.kind == "bridges":
        return [place.path / name for name in (CONFIG_FILE, WEIGHTS_FILE)]
    small = [path for path in sorted(place.path.iterdir()) if path.suffix in MODEL_SUFFIXES and path.is_file()]
    return small if place.kind == "tokenizer" else [*small, *weight_files(place.path)]


def named(spec: GraphSpec) -> Iterator[tuple[str, str, str | None]]:
    """Every field of a document that names files, with what it names and at which revision."""
    for where, model in (("anchor", spec.anchor), *((f"augments.{n}", a) for n, a in sorted(spec.augments.items()))):
        if isinstance(model.model, str):
            yield f"{where}.model", model.model, model.revision
        else:
            yield from ((f"{where}.model.merge.{field}", name, None) for field, name in references(model.model.merge))
            if model.model.tokenizer is not None:
                yield f"{where}.model.tokenizer", model.model.tokenizer, None
        if model.tokenizer is not None:
            yield f"{where}.tokenizer", model.tokenizer, None
    for name, augment in sorted(spec.augments.items()):
        for into, bridges in augment.feeds().items():
            if isinstance(bridges, str):
                yield augment.field(name, into), bridges, augment.revision_of(into)


def _places(spec: GraphSpec, graph: Graph) -> Iterator[_Place]:
    nodes = {"anchor": graph.anchor, **{f"augments.{node.name}": node for node in graph.augments}}
    stacks = {stack.field: stack for stack in graph.stacks}
    merged = {place.field: place for owner, node in nodes.items() for place in _merged(owner, node)}
    for field, source, revision in named(spec):
        if _in_merge(field):  # one from memory has nothing that is read
            yield from [replace(merged[field], source=source)] if field in merged else []
            continue
        if (stack := stacks.get(field)) is not None:
            path, origin = stack.bundle, stack.origin
            yield _Place(
                field=field, source=source, revision=revision, path=Path(path or ""), origin=origin, kind="bridges"
            )
            continue
        owner, _, kind = field.rpartition(".")
        node = nodes[owner]
        path, origin = {
            "model": (node.facts.source, node.facts.origin),
            "tokenizer": (node.tokenizer, None),
        }[kind]
        yield _Place(field=field, source=source, revision=revision, path=Path(path or ""), origin=origin, kind=kind)


def _in_merge(field: str) -> bool:
    """Whether a field is part of a merge; an augment too may be called 'model'."""
    inner = field.split(".")[1 if field.startswith("anchor.") else 2 :]
    return inner[0] == "model" and len(inner) > 1


def _merged(owner: str, node: Node) -> Iterator[_Place]:
    """Where the models of a merge were found; the document's words for them are still to be put in."""
    merge = node.facts.merge
    if merge is None:
        return
    for field, number in references(json.loads(merge.recipe)):
        index = int(number)
        model, whole = merge.sources[index], index < merge.merged
        yield _Place(
            field=f"{owner}.model.merge.{field}",
            source="",
            revision=None,
            path=Path(model.folder),
            origin=node.facts.parents[index],
            kind="model" if whole else "tokenizer",
            adapter=Path(model.adapter) if model.adapter and whole else None,
            adapter_origin=node.facts.adapters[index],
        )
    if merge.tokenizer is not None:
        path = Path(merge.tokenizer)
        field = f"{owner}.model.tokenizer"
        yield _Place(field=field, source="", revision=None, path=path, origin=None, kind="tokenizer")


def _words(source: str, revision: str | None) -> str:
    return repr(source) if revision is None else f"{source!r} at {revision!r}"
