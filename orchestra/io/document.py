"""Where a graph document comes from: memory, a file with the lock beside it, or a repository on the Hub. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra import spec as specs
from orchestra.errors import HubError, SpecError
from orchestra.io.hosted import GRAPH_FILE, Hub, Snapshot, cached, is_hub_id, leads_out
from orchestra.io.lock import Lock, lock_path, pinned, read_lock
from orchestra.spec import GraphSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A graph document, and where it stood.

    Attributes:
        spec: with the commits of the lock in place of its revisions, where there is a lock.
        folder: relative paths start there.
        path: the document's file; None of one from memory.
        root: the repository on the Hub that it came from.
        lock: what lay beside it.
    """

    spec: GraphSpec
    folder: Path
    path: Path | None = None
    root: Snapshot | None = None
    lock: Lock | None = None


def read(
    source: str | Path | Mapping[str, Any], *, revision: str | None = None, hub: Hub = cached, locked: bool = True
) -> Document:
    """Read a graph document.

    Args:
        source: its path, its repository on the Hub (`owner/name`), or the document itself.
        revision: the commit, tag or branch of the repository.
        hub: where repositories come from.
        locked: whether to look for a lock.

    Raises:
        SpecError: it is not a graph; every problem is listed.
        HubError: the repository is not to be had, or holds no graph.
        LockError: the lock is none, or belongs to another document.
    """
    if isinstance(source, Mapping):
        _refuse_revision(revision, "a document from memory")
        return Document(spec=specs.parse(source), folder=Path.cwd())
    path, root = Path(source).expanduser(), None
    if is_hub_id(str(source)) and not path.exists():
        root = hub(str(source), revision, "graph")
        path = root.folder / GRAPH_FILE
        if not path.is_file() or leads_out(path, root.folder):
            raise HubError(f"{source}: holds no {GRAPH_FILE}, so that it is no graph's repository.")
    else:
        _refuse_revision(revision, f"{path}, a file,")
    spec = specs.read(path)
    lock = read_lock(lock_path(path)) if locked else None
    spec = spec if lock is None else pinned(spec, lock, lock_path(path))
    return Document(spec=spec, folder=root.folder if root else path.resolve().parent, path=path, root=root, lock=lock)


def _refuse_revision(revision: str | None, what: str) -> None:
    if revision is not None:
        raise SpecError(f"revision is {revision!r}, but {what} has no revisions; only repositories on the Hub have.")
