"""Checkpoints of a training: complete or not there. A seal, written last, names every file by size and SHA-256.

A checkpoint without its seal, or with a file that is not the one sealed, was cut off while it was written; it is
passed over in favour of the one before.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra.errors import TrainError
from orchestra.io.checkpoint import write_atomically

SEAL_FILE = "seal.json"
_PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A whole checkpoint."""

    folder: Path
    step: int


def seal(folder: Path, run: Mapping[str, Any]) -> None:
    """Declare a checkpoint complete.

    Args:
        run: what makes this training this training and no other; compared when it is resumed.
    """
    files = {path.name: _signature(path) for path in sorted(folder.iterdir()) if path.name != SEAL_FILE}
    write_atomically(folder / SEAL_FILE, json.dumps({"run": dict(run), "files": files}, indent=2) + "\n")


def unseal(folder: Path) -> None:
    """Declare a checkpoint incomplete, before it is written over."""
    (folder / SEAL_FILE).unlink(missing_ok=True)


def newest(root: Path, run: Mapping[str, Any]) -> Checkpoint | None:
    """The newest whole checkpoint of this training; None where there is none.

    Raises:
        TrainError: it is of another training; every difference is listed.
    """
    for step, folder in _by_step(root):
        sealed = _read_seal(folder)
        if sealed is not None and all(_intact(folder / name, *entry) for name, entry in sealed["files"].items()):
            _check_same(folder, sealed["run"], run)
            return Checkpoint(folder=folder, step=step)
    return None


def keep_newest(root: Path, count: int) -> None:
    """Remove all but the newest checkpoints."""
    for _, folder in list(_by_step(root))[count:]:
        shutil.rmtree(folder)


def _by_step(root: Path) -> Iterator[tuple[int, Path]]:
    folders = [path for path in root.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdecimal()]
    return iter(sorted(((int(path.name.removeprefix(_PREFIX)), path) for path in folders), reverse=True))


def _read_seal(folder: Path) -> dict[str, Any] | None:
    try:
        sealed: dict[str, Any] = json.loads((folder / SEAL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return sealed if {"run", "files"} <= sealed.keys() else None


def _signature(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _intact(path: Path, size: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size and _signature(path) == (size, sha256)


def _check_same(folder: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differences = [
        f"{field} was {json.dumps(was.get(field))} and is {json.dumps(now.get(field))}"
        for field in sorted({*was, *now})
        if was.get(field) != now.get(field)
    ]
    if differences:
        raise TrainError(
            f"{folder}: is a checkpoint of another training: {'; '.join(differences)}. Give the settings it was made "
            "with, or another output; or discard it with resume=False (--no-resume)."
        )
