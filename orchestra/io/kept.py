"""Folders of Orchestra's cache: made once, whole or not at all, by one process while the others wait."""

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from orchestra.errors import ModelError
from orchestra.io.checkpoint import weight_files
from orchestra.io.safetensors_header import read_header


def kept(folder: Path, make: Callable[[Path], None]) -> Path:
    """A model folder of the cache; it is made now if it is not there whole.

    Args:
        make: fills an empty folder, which is renamed once it is full. What an earlier attempt left there goes.

    Raises:
        OSError: the disk refuses.
    """
    if not is_whole(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not is_whole(folder):
                fill(folder, folder.with_name(f".{folder.name}"), make)
    return folder


def fill(folder: Path, partial: Path, make: Callable[[Path], None]) -> None:
    """Make a folder under another name, and rename it."""
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        make(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_whole(folder: Path) -> bool:
    """Whether a model folder is there and its weights are as long as they should be."""
    try:
        return bool([read_header(file) for file in weight_files(folder)])
    except ModelError:
        return False
