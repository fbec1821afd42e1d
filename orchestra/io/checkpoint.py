"""Which files a model folder is made of, and the fingerprint of its weights. No torch."""

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestra.errors import ModelError
from orchestra.files import CONFIG_BYTES, read_text
from orchestra.problems import printable

_CHUNK_BYTES = 1 << 22
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_SETTLED_NS = 2_000_000_000  # a file changed later than this before it was hashed may change again unnoticed


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, in the order of their names; the ones that transformers would load.

    Raises:
        ModelError: there are none, a shard is missing, the weights are pickled, or they are an adapter's.
    """
    if (folder / ADAPTER_CONFIG).is_file():
        raise ModelError(
            f"{folder}: holds an adapter (adapter_config.json); merge it into its model, and name the folder of that."
        )
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if (folder / _INDEX).is_file():
        return _shards(folder / _INDEX)
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"{folder}: holds only pickled weights ({pickles[0]}), which are never loaded; save it as safetensors."
        )
    raise ModelError(f"{folder}: holds no model.safetensors.")


def weight_names(folder: Path) -> list[str]:
    """The names of the weight files that a model folder should have, by its index where it has one.

    Raises:
        ModelError: the index is damaged.
    """
    return _shard_names(folder / _INDEX) if (folder / _INDEX).is_file() else ["model.safetensors"]


def fetched(folder: Path) -> bool:
    """Whether all weights of a model are in its folder, or nothing will be gained by fetching them."""
    held = (folder / "model.safetensors").is_file() or (folder / ADAPTER_CONFIG).is_file()
    return held or all((folder / name).is_file() for name in weight_names(folder))


def _shards(index: Path) -> list[Path]:
    shards = _shard_names(index)
    missing = [name for name in shards if not (index.parent / name).is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        names = ", ".join(map(printable, missing[:3]))
        raise ModelError(f"{index.parent}: holds no {names}{more}, though {index.name} names it.")
    return [index.parent / name for name in shards]


def _shard_names(index: Path) -> list[str]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise ModelError(f"{index}: is not a safetensors index; fetch or save it again.")
    shards = sorted(set(names.values()))
    outside = [name for name in shards if Path(name).name != name or name == ".."]
    if outside:
        raise ModelError(f"{index}: names a shard outside its folder: {outside[0]!r}.")
    return shards


def read_json(path: Path, limit_bytes: int = CONFIG_BYTES) -> dict[str, Any]:
    """Read a JSON object that belongs to a model.

    Raises:
        ModelError: it is missing, cannot be read, or is not a JSON object.
    """
    try:
        content = json.loads(read_text(path, limit_bytes))
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent}: holds no {path.name}.") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not JSON.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: is not a JSON object.")
    return content


def fingerprint(folder: Path) -> str:
    """SHA-256 of a checkpoint: of its one weight file, or of the shards' digests in the order of their names.

    Args:
        folder: or a file, such as a GGUF file, which stands for itself.

    Raises:
        ModelError: the folder holds no weights that can be loaded.
    """
    if folder.is_file():
        return remembered_sha256(folder)
    digests = [remembered_sha256(path) for path in weight_files(folder)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        ModelError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def remembered_sha256(path: Path) -> str:
    """SHA-256 of a file, remembered by path, size and time of change."""
    return remembered(path, "sha256", file_sha256)


def remembered(path: Path, what: str, digest: Callable[[Path], str]) -> str:
    """A digest of a file, remembered by path, size and time of change.

    Args:
        what: its name among those of the same file; another way to compute it needs another name.
        digest: computes it.
    """
    stat = path.stat()
    seen = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    key = str(path.resolve())
    known = _remembered().get(key)
    if not isinstance(known, dict) or {**known, **seen} != known:
        known = {}
    if isinstance(found := known.get(what), str):
        return found
    started = time.time_ns()
    found = digest(path)
    if stat.st_mtime_ns + _SETTLED_NS < started:
        _remember({**_remembered(), key: {**known, **seen, what: found}})
    return found


def cache_folder() -> Path:
    """Where Orchestra keeps what it can compute again: $ORCHESTRA_CACHE, or orchestra/ in the user's cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "orchestra"
    return Path(os.environ.get("ORCHESTRA_CACHE", default)).expanduser()


def write_atomically(path: Path, text: str) -> None:
    """Write a text file whole or not at all, also when others write it at the same time."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _remembered() -> dict[str, Any]:
    try:
        known = json.loads(read_text(cache_folder() / "sha256.json", CONFIG_BYTES))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: there is no home, or it is nested too deeply
        return {}
    return known if isinstance(known, dict) else {}


def _remember(known: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # a cache that cannot be written only costs time
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_atomically(cache_folder() / "sha256.json", json.dumps(known, indent=0))
