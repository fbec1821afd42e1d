"""Reads what a safetensors file says of itself, and whether the file is whole. No torch, no weights in memory."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra.errors import ModelError
from orchestra.files import strict_json

MAX_HEADER_BYTES = 25_000_000  # of some 200,000 tensors; the format itself allows four times that
FLOATS = ("F16", "BF16", "F32", "F64")
"""What weights may be held in."""

_CHUNK_BYTES = 1 << 20
_MAX_DIMENSIONS = 64  # torch's own
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """What a header says.

    Attributes:
        shapes: shape by tensor name.
        dtypes: safetensors' word for the dtype, by tensor name.
        num_params: elements of all tensors.
        weight_bytes: bytes of all tensors.
        starts: the byte of the file at which each begins, by tensor name.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    num_params: int
    weight_bytes: int
    starts: dict[str, int]


def read_header(path: Path) -> Tensors:
    """Read and verify the header of a safetensors file.

    Raises:
        ModelError: the file is missing, not safetensors, or not as long as its header says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
                raise ModelError(f"{path}: is not a whole safetensors file; fetch or save it again.")
            raw = file.read(length)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error
    return told(raw, size, path)


def told(raw: bytes, size: int, source: object) -> Tensors:
    """What a header says, held against the length of its file.

    Args:
        source: the file, as the error names it.

    Raises:
        ModelError: it is damaged, or the file is not as long as it says.
    """
    try:
        tensors = _parse(raw)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{source}: has a damaged safetensors header; fetch or save it again.") from error
    announced = 8 + len(raw) + tensors.weight_bytes
    if size != announced:
        raise ModelError(
            f"{source}: is {size} bytes long, but its header announces {announced}; fetch or save it again."
        )
    return tensors


def all_zero(path: Path, header: Tensors, name: str) -> bool:
    """Whether a tensor of a file is zero throughout; not where it has none of that name.

    Raises:
        ModelError: the file cannot be read.
    """
    if name not in header.shapes:
        return False
    left = math.prod(header.shapes[name]) * _BITS[header.dtypes[name]] // 8
    try:
        with path.open("rb") as file:
            file.seek(header.starts[name])
            while chunk := file.read(min(_CHUNK_BYTES, left)):
                if any(chunk):
                    return False
                left -= len(chunk)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error
    return True


def _parse(raw: bytes) -> Tensors:
    """Sizes from a header; any of the usual built-in errors where it is not one."""
    header: Any = strict_json(raw.decode("utf-8"))
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if not all(isinstance(value, str) for value in header.get("__metadata__", {}).values()):
        raise ValueError("metadata are strings")
    for name in entries:
        name.encode("utf-8")  # half a surrogate pair is JSON, but no name
    end = 0
    for begin, after in sorted(map(_extent, entries.values())):
        if begin != end:
            raise ValueError("a gap or an overlap between tensors")
        end = after
    shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
    return Tensors(
        shapes=shapes,
        dtypes={name: entry["dtype"] for name, entry in entries.items()},
        num_params=sum(map(math.prod, shapes.values())),
        weight_bytes=end,
        starts={name: 8 + len(raw) + entry["data_offsets"][0] for name, entry in entries.items()},
    )


def _extent(entry: dict[str, Any]) -> tuple[int, int]:
    """Where a tensor begins and ends, once its shape, dtype and offsets agree."""
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    if len(shape) > _MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 63 for n in (*shape, begin, end)):
        raise ValueError("a size that is none")
    if math.prod(shape) * _BITS[entry["dtype"]] != (end - begin) * 8:
        raise ValueError("offsets that do not hold the shape")
    return begin, end
