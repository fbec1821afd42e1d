"""Writes and reads the tensors of a bundle. Whole or not at all, safetensors only."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from orchestra.errors import BundleError, ModelError
from orchestra.graph import Site
from orchestra.io.bundle import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    BundleConfig,
    Identity,
    bundle_sites,
    misfits,
    read_config,
)
from orchestra.io.card import card
from orchestra.io.checkpoint import file_sha256
from orchestra.io.safetensors_header import read_header


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
    problems = list(misfits(config, anchor=anchor, augment=augment))
    path = folder / WEIGHTS_FILE
    try:
        found = read_header(path).shapes
    except ModelError as error:
        raise BundleError(str(error)) from error
    problems += [f"the tensor {name} is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [f"the tensor {name} belongs to no bridge" for name in sorted(found.keys() - expected.keys())]
    problems += [
        f"the tensor {name} has shape {found[name]}, not {expected[name]}"
        for name in sorted(expected.keys() & found.keys())
        if found[name] != tuple(expected[name])
    ]
    if not problems and file_sha256(path) != config.weights_sha256:
        problems.append(f"{WEIGHTS_FILE} is not the file that {CONFIG_FILE} names by its SHA-256: it has changed since")
    if problems:
        raise BundleError.listing(f"{folder}: does not fit: {problem}." for problem in problems)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: cannot be read: {error}.") from error
    broken = [name for name, tensor in sorted(tensors.items()) if not torch.isfinite(tensor).all()]
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

    Raises:
        BundleError: a weight is NaN or infinite, or the folder holds something that is not a bundle.
    """
    broken = [name for name, tensor in sorted(tensors.items()) if not torch.isfinite(tensor).all()]
    if broken:
        raise BundleError(f"not written: the weights of {', '.join(broken)} are NaN or infinite.")
    if folder.exists() and any(folder.iterdir()) and not (folder / CONFIG_FILE).is_file():
        raise BundleError(f"{folder}: not written: the folder holds something that is not a bundle.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial / WEIGHTS_FILE)
        config = BundleConfig(
            anchor=anchor,
            augment=augment,
            sites=bundle_sites(sites),
            weights_sha256=file_sha256(partial / WEIGHTS_FILE),
            recipe=dict(recipe or {}),
            scores=dict(scores or {}),
        )
        (partial / CONFIG_FILE).write_text(json.dumps(config.model_dump(), indent=2) + "\n", encoding="utf-8")
        num_params = sum(math.prod(tensor.shape) for tensor in tensors.values())
        (partial / CARD_FILE).write_text(card(config, num_params), encoding="utf-8")
        partial.chmod(0o755)
        _replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return config


def _replace(new: Path, old: Path) -> None:
    """Put a complete folder where an older one may be."""
    retired = old.with_name(f".{old.name}.{os.getpid()}.old")
    if old.exists():
        old.rename(retired)
    new.rename(old)
    shutil.rmtree(retired, ignore_errors=True)
