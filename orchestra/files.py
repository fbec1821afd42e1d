"""Reads what somebody else wrote: plain files of a bounded size, and no name twice in one JSON object. No torch."""

import errno
import json
import os
import stat
from collections import Counter
from pathlib import Path

GRAPH_BYTES = 1_000_000
"""The longest graph, and config of a bundle, that is read."""
CONFIG_BYTES = 32_000_000
"""The longest config of a model, and index of its weights, that is read."""
TOKENIZER_BYTES = 100_000_000
"""The longest tokenizer that is read: one of a million words has fewer."""


def read_text(path: Path, limit_bytes: int) -> str:
    """The text of a file in UTF-8; a pipe or a device is not waited for, and a longer file not read.

    Raises:
        OSError: there is none, it is no plain file, or it is longer than the limit.
        UnicodeDecodeError: it is not UTF-8.
    """
    check_size(path, limit_bytes)
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:  # it grew meanwhile
        raise _too_long(len(content), limit_bytes)
    return content.decode("utf-8")


def check_size(path: Path, limit_bytes: int) -> None:
    """Raise over what `read_text` would not read.

    Raises:
        OSError: there is no such file, it is no plain file, or it is longer than the limit.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, and no file")
    if found.st_size > limit_bytes:
        raise _too_long(found.st_size, limit_bytes)


def strict_json(text: str) -> object:
    """Decode JSON that says one thing to every reader.

    Raises:
        ValueError: it is no JSON, holds NaN or infinity, or has a name twice in one object.
        RecursionError: it is nested without end.
    """
    found: object = json.loads(text, object_pairs_hook=_unrepeated, parse_constant=_no_number)
    return found


def repeated(names: list[str]) -> list[str]:
    """The names that stand in a list more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def _unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"{json.dumps(repeated([name for name, _ in pairs])[0])} stands twice in one object")
    return found


def _no_number(name: str) -> object:
    raise ValueError(f"it holds {name}, which is no number of JSON")


def _too_long(found_bytes: int, limit_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"it is {found_bytes:,} bytes long, and {limit_bytes:,} are read at most")
