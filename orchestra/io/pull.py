"""Copies a repository out of the Hub's cache into a folder of the user's: whole or not at all. No torch, no network."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from orchestra import spec as specs
from orchestra.errors import HubError
from orchestra.io.bundle import CONFIG_FILE, read_config
from orchestra.io.hosted import CARD_FILE, GRAPH_FILE, MODEL_SUFFIXES, Snapshot, leads_out
from orchestra.io.lock import named
from orchestra.io.places import leads_away
from orchestra.merging.document import parts


def unpack(snapshot: Snapshot, folder: Path) -> None:
    """Copy a graph or a bundle; in its folder it is the user's own, so that nothing in it may lead elsewhere.

    Raises:
        HubError: it is neither, leads out of its repository, or the folder is taken.
        SpecError: its graph is none.
        BundleError: it is no bundle.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HubError(f"{folder}: not written: it is there already; name a folder that is not, or empty.")
    files = list(_files(snapshot))
    problems = [f"{snapshot.origin.repo}: {path} leads out of it." for path in files if _leads_out(path, snapshot)]
    problems += _references(snapshot)
    if problems:
        raise HubError.listing(problems)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        for path in files:
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(snapshot.folder / path, partial / path)
        partial.replace(folder)
    except OSError as error:
        raise HubError(f"{folder}: not written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _files(snapshot: Snapshot) -> Iterator[Path]:
    """What a graph or a bundle is made of; whatever else the cache holds of the repository is left there."""
    for path in sorted(snapshot.folder.rglob("*")):
        if path.is_file() and (path.suffix in (*MODEL_SUFFIXES, ".safetensors") or path.name == CARD_FILE):
            yield path.relative_to(snapshot.folder)


def _leads_out(path: Path, snapshot: Snapshot) -> bool:
    return leads_out(snapshot.folder / path, snapshot.folder)


def _references(snapshot: Snapshot) -> Iterator[str]:
    """The fields of its graph that name what is outside of the repository and not on the Hub, a line each."""
    repo = snapshot.origin.repo
    if (snapshot.folder / GRAPH_FILE).is_file():
        for field, source, _ in named(specs.read(snapshot.folder / GRAPH_FILE)):
            if any(map(leads_away, (source, *(part for part, _ in parts(source))))):
                yield f"{repo}: {field} is {source!r}, which leads out of it."
    elif (snapshot.folder / CONFIG_FILE).is_file():
        read_config(snapshot.folder)
    else:
        yield f"{repo}: holds neither {GRAPH_FILE} nor {CONFIG_FILE}, so that it is no graph and no bundle."
