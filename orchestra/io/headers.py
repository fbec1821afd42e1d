"""The headers of weights that are still on the Hub, as they were read from there and are kept. No torch, no network."""

import json
from pathlib import Path

from orchestra.errors import ModelError
from orchestra.files import read_text, strict_json
from orchestra.graph import Origin
from orchestra.io.checkpoint import cache_folder, weight_names, write_atomically
from orchestra.io.safetensors_header import MAX_HEADER_BYTES, Tensors, told

_MOST_FILES = 1_000
_TEXT_BYTES = 2 * MAX_HEADER_BYTES
"""The longest that is read of what is kept: a header, as a text in JSON."""


def remote_names(origin: Origin, folder: Path) -> list[str]:
    """The names of the weight files of a repository.

    Args:
        folder: holds everything else of it.

    Raises:
        ModelError: its index is damaged, or names more files than anyone means.
    """
    names = weight_names(folder)
    if len(names) > _MOST_FILES:
        raise ModelError(f"{origin.repo}: its index names {len(names):,} files; {_MOST_FILES:,} are read at most.")
    return names


def kept_headers(origin: Origin, names: list[str]) -> list[Tensors] | None:
    """The headers of weight files of a repository; None where one of them was never read.

    Raises:
        ModelError: one is damaged.
    """
    found = [_kept(origin, name) for name in names]
    return None if None in found else [header for header in found if header is not None]


def keep_header(origin: Origin, name: str, header: bytes, size: int) -> None:
    """Keep a header that was read on the Hub.

    Args:
        size: how long the whole file is.

    Raises:
        ModelError: it is no header of such a file.
        OSError: the disk refuses.
    """
    told(header, size, f"{origin.repo}: {name}")
    path = _place(origin, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"size": size, "header": header.decode("utf-8")}))


def _kept(origin: Origin, name: str) -> Tensors | None:
    try:
        content = strict_json(read_text(_place(origin, name), _TEXT_BYTES))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or type(size := content.get("size")) is not int:
        return None
    return told(str(content.get("header")).encode(), size, f"{origin.repo}: {name}")


def _place(origin: Origin, name: str) -> Path:
    return cache_folder() / "headers" / origin.repo.replace("/", "--") / origin.commit / f"{name}.json"
