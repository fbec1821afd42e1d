"""Repositories of the Hub as they lie in its cache on this disk. No network, no torch, and no package of the Hub's."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from orchestra.errors import HubError
from orchestra.graph import ModelFacts, Origin
from orchestra.io.checkpoint import ADAPTER_WEIGHTS, fetched
from orchestra.io.headers import kept_headers, remote_names

GRAPH_FILE = "graph.json"
CARD_FILE = "README.md"
MODEL_SUFFIXES = (".json", ".model", ".txt", ".jinja")
"""What a model is loaded from, besides its weights. Nothing else is fetched: no pickles, no code."""

Kind = Literal["graph", "model", "merged", "adapter", "bundle", "card"]
"""What a repository is read as; `merged`: a model that is merged with others, with the headers of its weights."""

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_ID = re.compile(rf"{_PART}/{_PART}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A repository at a commit, and the folder that holds its files."""

    origin: Origin
    folder: Path


class Hub(Protocol):
    """Where repositories come from: the cache alone, or the Hub by way of the cache."""

    def __call__(self, repo: str, revision: str | None, kind: Kind) -> Snapshot:
        """The files of a repository.

        Args:
            revision: a commit, a tag or a branch; None is the branch `main`.
            kind: what it is read as, which decides the files.

        Raises:
            HubError: they are not to be had.
            ModelError: it is no model that could be merged, where it is read as one.
        """
        ...


class Fetching(Hub, Protocol):
    """Where the weights come from as well."""

    def weights(self, origin: Origin, kind: Kind = "model") -> None:
        """Fetch the weights of a model, or an adapter, whose other files are there.

        Raises:
            HubError: they are not to be had.
            ModelError: the repository has none that are loaded.
        """
        ...


def is_hub_id(source: str) -> bool:
    """Whether a document's field may name a repository: `owner/name`."""
    plain = not source.endswith((".git", ".gguf", ".json")) and "--" not in source and ".." not in source
    return plain and len(source) <= 193 and _ID.fullmatch(source) is not None


def is_revision(text: str) -> bool:
    """Whether it may name a commit, a tag or a branch: the cache keeps files of these names, in folders."""
    return (
        text != "" and ".." not in text and not text.startswith(("/", "-")) and "\\" not in text and text.isprintable()
    )


def cache_folder() -> Path:
    """The Hub's cache, where its client keeps it."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub"
    return Path(os.path.expandvars(folder)).expanduser()


def cached(repo: str, revision: str | None, kind: Kind) -> Snapshot:
    """A repository from the cache, where an earlier download has put it.

    Raises:
        HubError: it is not there.
        ModelError: it is damaged.
    """
    wanted, folder = revision or "main", cache_folder() / f"models--{repo.replace('/', '--')}"
    try:
        commit = wanted if _COMMIT.fullmatch(wanted) else _inside(folder / "refs", wanted).read_text("utf-8").strip()
        found = _COMMIT.fullmatch(commit) is not None and (folder / "snapshots" / commit).is_dir()
    except (OSError, ValueError):  # no such branch, or no branch's name at all
        found = False
    if not found:
        wanted = f"{repo}{named(revision)}"
        raise HubError(f"the Hub's cache holds no {wanted}; load and `orchestra check --remote` fetch it.")
    snapshot = Snapshot(origin=Origin(repo=repo, commit=commit), folder=folder / "snapshots" / commit)
    names = unfetched(snapshot, kind)
    if kept_headers(snapshot.origin, names) is None:
        raise HubError(
            f"no header of the weights of {repo}{named(revision)} is kept; load and `orchestra check --remote` fetch "
            "them."
        )
    return snapshot


def weights_of(facts: ModelFacts) -> Iterator[tuple[Origin, Kind]]:
    """The repositories whose weights a model, or a merge, is made of, and what each is."""
    yield from ((origin, "model") for origin in facts.origins)
    yield from ((origin, "adapter") for origin in facts.adapters if origin is not None)


def unfetched(snapshot: Snapshot, kind: Kind) -> list[str]:
    """The weight files that are still on the Hub, of what is merged: their headers are to be known.

    Raises:
        ModelError: its index is damaged.
    """
    if kind == "merged" and not fetched(snapshot.folder):
        return remote_names(snapshot.origin, snapshot.folder)
    return [ADAPTER_WEIGHTS] if kind == "adapter" and not (snapshot.folder / ADAPTER_WEIGHTS).is_file() else []


def named(revision: str | None) -> str:
    """A revision as a message says it, after the name of a repository."""
    return "" if revision is None else f" at {revision!r}"


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path of a repository in the Hub's cache leads out of it; links may lead to blobs, which are files.

    Args:
        root: the repository's snapshot: `<cache>/models--owner--name/snapshots/<commit>`.
    """
    try:
        place, inner = path.resolve(), root.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return True
    # Repositories may share blobs, which then lie in the cache's own folder of that name.
    blobs = [(root.parents[level] / "blobs").resolve() for level in (1, 2)]
    return not (place.is_relative_to(inner) or (place.is_file() and any(map(place.is_relative_to, blobs))))


def _inside(folder: Path, name: str) -> Path:
    """A path below a folder.

    Raises:
        ValueError: the name leads out of it.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(name)
    return path
