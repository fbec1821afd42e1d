"""Reads what a safetensors file says of itself, and whether the file is whole. No torch, no weights in memory."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from orchestra.errors import ModelError

_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """Sizes from a header.

    Attributes:
        shapes: shape by tensor name.
        num_params: elements of all tensors.
        weight_bytes: bytes of all tensors.
    """

    shapes: dict[str, tuple[int, ...]]
    num_params: int
    weight_bytes: int


def read_header(path: Path) -> Tensors:
    """Read and verify the header of a safetensors file.

    Raises:
        ModelError: the file is missing, not safetensors, or not as long as its header says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
                raise ModelError(f"{path}: is not a whole safetensors file; fetch or save it again.")
            header = json.loads(file.read(length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(f"{path}: has a damaged safetensors header; fetch or save it again.") from error
    if size != 8 + length + end:
        raise ModelError(
            f"{path}: is {size} bytes long, but its header announces {8 + length + end}; fetch or save it again."
        )
    return Tensors(shapes=shapes, num_params=sum(map(math.prod, shapes.values())), weight_bytes=end)
