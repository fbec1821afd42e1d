"""Where the models and bundles of a document lie: in folders, or in repositories of the Hub. No torch, no network."""

from dataclasses import dataclass
from pathlib import Path

from orchestra.errors import GraphError, HubError
from orchestra.graph import Origin
from orchestra.io.gguf_facts import is_gguf
from orchestra.io.hosted import Hub, Kind, Snapshot, cached, is_hub_id, leads_out
from orchestra.problems import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A folder or a GGUF file, and whence on the Hub it came; None for one that did not."""

    path: Path
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a document looks.

    Attributes:
        folder: relative paths start there.
        root: the repository that the document came from; it may not leave it.
        hub: where repositories come from.
    """

    folder: Path
    root: Snapshot | None = None
    hub: Hub = cached

    def find(
        self,
        source: str,
        field: str,
        kind: Kind | None = None,
        *,
        revision: str | None = None,
        revision_field: str = "",
    ) -> Found:
        """What a document's field names: a folder before a repository of the same name.

        Args:
            kind: what a repository would be read as; None for what is not taken from the Hub.
            revision_field: where the document says the revision.

        Raises:
            GraphError: there is neither, a folder is given a revision, or the document's repository would be left.
        """
        if self.root is not None and leads_away(source):
            raise GraphError(
                f"{field} is {source!r}, which leads out of {self.root.origin.repo}; a graph on the Hub names what is "
                "in its repository, or on the Hub."
            )
        if kind is not None and is_hub_id(source) and not (self.folder / source).is_dir():
            return self._hosted(source, field, kind, revision)
        path = locate(source, self.folder, field)
        if revision is not None:
            raise GraphError(
                f"{revision_field} is {revision!r}, but {field} is {source!r}, a "
                f"{'file' if path.is_file() else 'folder'}, which has no revisions; drop one of them."
            )
        if self.root is not None:
            confine(path, self.root, field)
        return Found(path=path)

    def _hosted(self, source: str, field: str, kind: Kind, revision: str | None) -> Found:
        try:
            snapshot = self.hub(source, revision, kind)
        except HubError as error:
            raise GraphError(f"{field} is {source!r}: there is no such folder, and {error}") from error
        confine(snapshot.folder, snapshot, field)
        return Found(path=snapshot.folder, origin=snapshot.origin)


def locate(source: str, base: Path, field: str) -> Path:
    """The folder or GGUF file that a document's field names, as an absolute path.

    Raises:
        GraphError: there is no such folder or file.
    """
    kind = "file" if is_gguf(source) else "folder"
    try:
        folder = (base / Path(source).expanduser()).resolve()
        found = folder.is_file() if kind == "file" else folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, no such user, a zero byte, a name too long
        raise GraphError(f"{field} is {source!r}, which is no {kind}'s name: {_told(error)}.") from error
    if not found:
        raise GraphError(f"{field} is {source!r}, but there is no {kind} {printable(folder, 4096)}.")
    return folder


def confine(path: Path, root: Snapshot, field: str) -> None:
    """Raise where a path of a repository, or a link in that folder, leads out of the repository."""
    held = sorted(path.iterdir()) if path.is_dir() else []
    strays = [found for found in (path, *held) if leads_out(found, root.folder)]
    problems = [f"{field}: {stray} leads out of {root.origin.repo}." for stray in strays]
    if problems:
        raise GraphError.listing(problems)


def leads_away(source: str) -> bool:
    """Whether what a document names may lie outside of the document's repository."""
    return source.startswith(("/", "~")) or "\\" in source or ".." in source.split("/") or ":" in source


def _told(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")
