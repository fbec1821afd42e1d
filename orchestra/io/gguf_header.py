"""Reads what a GGUF file says of itself, and whether the file is whole. No torch, no weights in memory.

A count in a header is held against the bytes that are left before anything of that count is read, so that a damaged or
hostile header costs neither memory nor time. Files of several parts are told by their own names in the header
(`split.count`) and left to the caller.

Source: the format's own description, versions 2 and 3, little-endian (ggml, docs/gguf.md).
"""

import hashlib
import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestra.errors import ModelError

_VERSIONS = (2, 3)
_MAX_HEADER_BYTES = 100_000_000  # a vocabulary of a million words with its merges has fewer
_MAX_FIELDS, _MAX_TENSORS = 1 << 16, 1 << 17
_MAX_NAME_BYTES = 65_535
_MAX_DIMENSIONS = 4
_MAX_ELEMENTS = 1 << 22  # of all arrays; the package gguf makes an object of each, and large vocabularies have a third
_MAX_ALIGNMENT = 1 << 20
_STRING, _ARRAY = 8, 9
_FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)},
    **{16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82)},
    **{23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2)},
    **{34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18)},
}
"""Elements and bytes of a block, by the number of a tensor's type."""
HALVES = {1: "float16", 30: "bfloat16"}
"""The types that torch holds in two bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """An array of a header, of which no more is kept than this.

    Attributes:
        sha256: of its type, its count and its bytes.
    """

    count: int
    sha256: str


Value = int | float | bool | str | Array


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What a header says.

    Attributes:
        fields: value by key.
        shapes: shape by tensor name, in torch's order of dimensions.
        types: number of the type, by tensor name.
        num_params: elements of all tensors.
        weight_bytes: bytes of all tensors, without the gaps between them.
    """

    fields: Mapping[str, Value]
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, int]
    num_params: int
    weight_bytes: int


class _DamagedError(Exception):
    """What was read cannot be a header."""


class _Reader:
    """Reads onwards from a place in a file, and never past the end of what may be a header."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        self.place = 0
        self.elements = 0
        self.end = min(len(content), _MAX_HEADER_BYTES)

    def number(self, form: str) -> int | float | bool:
        """One number of a struct format."""
        begin = self.skip(struct.calcsize(form))
        number: int | float | bool = struct.unpack_from(form, self.content, begin)[0]
        return number

    def size(self, form: str = "<Q", *, each: int = 1) -> int:
        """A count of things, of which each takes so many bytes of the header at least."""
        count = int(self.number(form))
        if count * each > self.end - self.place:
            raise _DamagedError
        return count

    def skip(self, count: int) -> int:
        """Go on by so many bytes; where they begin."""
        begin = self.place
        if count > self.end - begin:
            raise _DamagedError
        self.place = begin + count
        return begin

    def text(self, limit: int | None = None) -> str:
        """A string: its length, then its bytes in UTF-8."""
        length = self.size()
        if limit is not None and length > limit:
            raise _DamagedError
        begin = self.skip(length)
        return self.content[begin : self.place].decode("utf-8")

    def value(self) -> Value:
        """One value: its type, then itself."""
        kind = self.number("<I")
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array()
        return self.number(_FORMATS[int(kind)])

    def array(self) -> Array:
        """An array of numbers or strings, each of which is walked over; arrays of arrays are refused."""
        begin = self.place
        kind = self.number("<I")
        if kind == _STRING:
            count = self.size(each=8)
            for _ in range(count):
                self.skip(self.size())
        else:
            width = struct.calcsize(_FORMATS[int(kind)])
            count = self.size(each=width)
            self.skip(count * width)
        self.elements += count
        if self.elements > _MAX_ELEMENTS:
            raise _DamagedError
        return Array(count=count, sha256=hashlib.sha256(self.content[begin : self.place]).hexdigest())


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    kind: int
    begin: int

    @property
    def num_bytes(self) -> int:
        elements, size = _BLOCKS[self.kind]
        return math.prod(self.shape) // elements * size


def read_gguf(path: Path) -> GgufHeader:
    """Read and verify the header of a GGUF file.

    Raises:
        ModelError: the file is missing, not GGUF of a version that is known, or shorter than its header says.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelError(f"{path}: is not a GGUF file; fetch or save it again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _read(path, _Reader(content))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error


def _read(path: Path, reader: _Reader) -> GgufHeader:
    try:
        reader.skip(4)
        version = int(reader.number("<I"))
        if version not in _VERSIONS:
            raise ModelError(f"{path}: is GGUF of version {version}; this version of Orchestra reads 2 and 3.")
        num_tensors, num_fields = reader.size(each=24), reader.size(each=13)
        if num_tensors > _MAX_TENSORS or num_fields > _MAX_FIELDS:
            raise _DamagedError
        fields = dict(_once((reader.text(_MAX_NAME_BYTES), reader.value()) for _ in range(num_fields)))
        tensors = [_tensor(reader) for _ in range(num_tensors)]
        start = _start(reader.place, fields)
    except (_DamagedError, KeyError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: is not a whole GGUF file; fetch or save it again.") from error
    _check_data(path, tensors, start, size=len(reader.content))
    return GgufHeader(
        fields=fields,
        shapes={tensor.name: tensor.shape for tensor in tensors},
        types={tensor.name: tensor.kind for tensor in tensors},
        num_params=sum(math.prod(tensor.shape) for tensor in tensors),
        weight_bytes=sum(tensor.num_bytes for tensor in tensors),
    )


def _tensor(reader: _Reader) -> _Tensor:
    name = reader.text(_MAX_NAME_BYTES)
    dimensions = reader.size("<I", each=8)
    if not 0 < dimensions <= _MAX_DIMENSIONS:
        raise _DamagedError
    shape = tuple(int(reader.number("<Q")) for _ in range(dimensions))
    kind = int(reader.number("<I"))
    return _Tensor(name, shape[::-1], kind, int(reader.number("<Q")))


def _start(place: int, fields: Mapping[str, Value]) -> int:
    """Where the tensors' bytes begin."""
    alignment = fields.get("general.alignment", 32)
    if type(alignment) is not int or not 0 < alignment <= _MAX_ALIGNMENT:
        raise _DamagedError
    return -(-place // alignment) * alignment


def _check_data(path: Path, tensors: list[_Tensor], start: int, *, size: int) -> None:
    """Raise where the tensors of a header cannot lie in the file."""
    unknown = sorted({tensor.kind for tensor in tensors} - _BLOCKS.keys())
    if unknown:
        raise ModelError(f"{path}: holds tensors of type {unknown[0]}, which this version of Orchestra does not know.")
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise ModelError(f"{path}: has a damaged GGUF header: two tensors of one name; fetch or save it again.")
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.begin):
        if tensor.shape[-1] % _BLOCKS[tensor.kind][0]:
            raise ModelError(f"{path}: has a damaged GGUF header: {tensor.name!r} has no whole blocks.")
        if tensor.begin < end:
            raise ModelError(f"{path}: has a damaged GGUF header: {tensor.name!r} lies in another tensor.")
        end = tensor.begin + tensor.num_bytes
    if start + end > size:
        raise ModelError(f"{path}: is {size} bytes long, but its header announces {start + end}; fetch it again.")


def _once(pairs: Iterator[tuple[str, Value]]) -> Iterator[tuple[str, Value]]:
    """The pairs, of which no two have one key."""
    seen: set[str] = set()
    for key, value in pairs:
        if key in seen:
            raise _DamagedError
        seen.add(key)
        yield key, value
