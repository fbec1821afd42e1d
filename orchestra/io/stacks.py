"""Writes and reads the tensors of a bundle. Whole or not at all, safetensors only."""

import contextlib
import errno
import json
import math
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from orchestra.errors import BundleError
from orchestra.graph import Site
from orchestra.io.bundle import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    BundleConfig,
    Identity,
    bundle_sites,
    config_text,
    misfits,
    read_config,
    read_weights_header,
)
from orchestra.io.card import card
from orchestra.io.checkpoint import file_sha256
from orchestra.io.finite import finite
from orchestra.io.safetensors_header import FLOATS, Tensors
from orchestra.problems import printable

if sys.platform != "win32":
    import fcntl

_FILES = (WEIGHTS_FILE, CONFIG_FILE, CARD_FILE)
_ROOM_BYTES = 1 << 30


def read_stack(
    folder: Path, *, anchor: Identity, augment: Identity, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Read the tensors of a bundle, after everything that can be checked without them.

    Args:
        anchor, augment: the models that the stack is to join.
        expected: shape of every tensor that the stack needs, by name.

    Raises:
        BundleError: the bundle is damaged or was trained for something else; every misfit is listed.
    """
    config = read_config(folder)
    found, path = read_weights_header(folder), folder / WEIGHTS_FILE
    problems = [*misfits(config, anchor=anchor, augment=augment), *_strange_tensors(found, expected)]
    if found.weight_bytes > _ROOM_BYTES + 2 * 8 * sum(map(math.prod, expected.values())):
        problems.append(f"{WEIGHTS_FILE} holds {found.weight_bytes:,} bytes, far more than its bridges need")
    elif file_sha256(path) != config.weights_sha256:
        problems.append(f"{WEIGHTS_FILE} is not the file that {CONFIG_FILE} names by its SHA-256")
    if problems:
        raise BundleError.listing(f"{folder}: does not fit: {problem}." for problem in problems)
    tensors = load_file(path)
    broken = _not_finite(tensors)
    if broken:
        raise BundleError(f"{path}: holds NaN or infinity in {', '.join(broken)}.")
    return tensors


def write_bundle(
    folder: Path,
    tensors: Mapping[str, Tensor],
    *,
    sites: tuple[Site, ...],
    anchor: Identity,
    augment: Identity,
    recipe: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
) -> BundleConfig:
    """Write a stack as a bundle; an earlier bundle in that folder is replaced once the new one is complete.

    Several writers of one place take turns, and the last one wins.

    Raises:
        BundleError: a weight is NaN or infinite, recipe or scores are not JSON, the folder holds something that is not
            a bundle, or the disk refuses.
    """
    folder = folder.resolve()
    broken = _not_finite(tensors)
    if broken:
        raise BundleError(f"{folder}: not written: the weights hold NaN or infinity in {', '.join(broken)}.")
    recipe, scores = _as_json(folder, "recipe", recipe), _as_json(folder, "scores", scores)
    partial = _beside(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _taking_turns(folder.parent):
            _refuse_strangers(folder)
            partial.mkdir()
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial / WEIGHTS_FILE)
            config = BundleConfig(
                anchor=anchor,
                augment=augment,
                sites=bundle_sites(sites),
                weights_sha256=file_sha256(partial / WEIGHTS_FILE),
                recipe=recipe,
                scores=scores,
            )
            (partial / CONFIG_FILE).write_text(config_text(config), encoding="utf-8")
            # safetensors keeps its files to their owner; the others have the mode that the user wishes for new files.
            (partial / WEIGHTS_FILE).chmod(stat.S_IMODE((partial / CONFIG_FILE).stat().st_mode))
            num_params = sum(math.prod(tensor.shape) for tensor in tensors.values())
            (partial / CARD_FILE).write_text(card(config, num_params), encoding="utf-8")
            _sync(*(partial / name for name in _FILES), partial)
            _replace(partial, folder)
            _sync(folder.parent)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{folder}: not written: {getattr(error, 'strerror', None) or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return config


def _strange_tensors(found: Tensors, expected: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """How the tensors of a file differ from those that a stack needs."""
    for name in sorted(expected.keys() - found.shapes.keys()):
        yield f"the tensor {name} is missing"
    for name in sorted(found.shapes.keys() - expected.keys()):
        yield f"the tensor {printable(name)} belongs to no bridge"
    for name in sorted(expected.keys() & found.shapes.keys()):
        if found.shapes[name] != tuple(expected[name]):
            yield f"the tensor {name} has shape {found.shapes[name]}, not {tuple(expected[name])}"
        if found.dtypes[name] not in FLOATS:
            yield f"the tensor {name} holds {found.dtypes[name]}, not one of {', '.join(FLOATS)}"


def _not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name, tensor in sorted(tensors.items()) if not finite(tensor)]


def _as_json(folder: Path, field: str, content: Mapping[str, Any] | None) -> dict[str, Any]:
    """The content as JSON would give it back."""
    try:
        read: dict[str, Any] = json.loads(json.dumps(dict(content or {}), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(f"{folder}: not written: {field} holds something that is not JSON: {error}.") from error
    return read


def _refuse_strangers(folder: Path) -> None:
    """Raise where writing a bundle would remove something that is none."""
    held = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    strangers = [name for name in held if name not in _FILES]
    if strangers or (held and CONFIG_FILE not in held):
        raise BundleError(
            f"{folder}: not written: it holds {(strangers or held)[0]}, which belongs to no bundle and would be lost."
        )


@contextlib.contextmanager
def _taking_turns(folder: Path) -> Iterator[None]:
    """Keep other writers out of a folder, threads and processes alike, where the system can lock one."""
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _beside(folder: Path) -> Path:
    """A name for a folder that is on its way in or out."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")


def _sync(*paths: Path) -> None:
    """Have what was written reach the disk, where the system can tell."""
    for path in paths:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _replace(new: Path, old: Path) -> None:
    """Put a complete folder where an older one may be.

    A folder cannot take the place of a full one in a single step. Between the two steps the older one lies beside it,
    under a hidden name; if the second step fails it goes back.
    """
    retired: list[Path] = []
    try:
        while not _moved(new, old):
            retired.append(_beside(old))
            with contextlib.suppress(FileNotFoundError):  # another writer was faster
                old.rename(retired[-1])
    finally:
        taken = [folder for folder in retired if folder.exists()]
        if taken and not old.exists():
            taken[-1].rename(old)
        _remove(taken)


def _moved(new: Path, old: Path) -> bool:
    """Whether a folder could take a place; False where a full one stands in it."""
    try:
        new.rename(old)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
