"""Which files a model folder is made of, and the fingerprint of its weights. No torch."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from orchestra.errors import ModelError

_CHUNK_BYTES = 1 << 22


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, in the order of their names.

    Raises:
        ModelError: there are none, a shard is missing, or the weights are pickled.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{index}: is not a safetensors index; fetch or save it again.") from error
        if any(Path(name).name != name for name in names):
            raise ModelError(f"{index}: names a shard outside its folder.")
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ModelError(f"{folder}: {', '.join(missing)} is missing, though {index.name} names it.")
        return [folder / name for name in names]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    pickles = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    if pickles:
        raise ModelError(
            f"{folder}: holds only pickled weights ({pickles[0]}), which are never loaded; save it as safetensors."
        )
    raise ModelError(f"{folder}: holds no model.safetensors.")


def fingerprint(folder: Path) -> str:
    """SHA-256 of a checkpoint: of its one weight file, or of the shards' digests in the order of their names."""
    digests = [file_sha256(path) for path in weight_files(folder)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, remembered by path, size and time of change."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    known = _remembered()
    if key not in known:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        known[key] = digest.hexdigest()
        _remember(known)
    return known[key]


def cache_folder() -> Path:
    """Where Orchestra keeps what it can compute again: $ORCHESTRA_CACHE, or orchestra/ in the user's cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "orchestra"
    return Path(os.environ.get("ORCHESTRA_CACHE", default))


def write_atomically(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _remembered() -> dict[str, str]:
    try:
        known = json.loads((cache_folder() / "sha256.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(known: dict[str, str]) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_atomically(cache_folder() / "sha256.json", json.dumps(known, indent=0))
