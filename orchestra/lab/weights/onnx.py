"""Reads weights and nodes of an ONNX file, as far as a quantized language model needs it: protobuf without a schema."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16}


@dataclass(frozen=True, slots=True)
class Node:
    """A step of the graph."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read(path: Path) -> tuple[list[Node], dict[str, Array]]:
    """The nodes of a model in order, and its weights by name."""
    graphs = [value for number, value in _fields(memoryview(path.read_bytes())) if number == 7]
    nodes, weights = [], {}
    for number, value in _fields(_bytes(graphs[0])):
        if number == 1:
            nodes.append(_node(_bytes(value)))
        elif number == 5:
            name, weight = _weight(_bytes(value))
            weights[name] = weight
    return nodes, weights


def _node(raw: memoryview) -> Node:
    parts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
    for number, value in _fields(raw):
        if number in parts:
            parts[number].append(bytes(_bytes(value)).decode())
    return Node("".join(parts[3]), "".join(parts[4]), tuple(parts[1]), tuple(parts[2]))


def _weight(raw: memoryview) -> tuple[str, Array]:
    """A tensor, whose values are raw bytes or, for a single number, a list in its own field."""
    parts: dict[int, int | memoryview] = {}
    shape: list[int] = []
    for number, value in _fields(raw):
        if number == 1:
            shape += [value] if isinstance(value, int) else list(_numbers(value))
        parts[number] = value
    name, kind = bytes(_bytes(parts[8])).decode(), _TYPES[int(parts[2]) if isinstance(parts[2], int) else 0]
    if 9 in parts:
        return name, np.frombuffer(bytes(_bytes(parts[9])), kind).reshape(shape)
    if 4 in parts:
        return name, np.frombuffer(bytes(_bytes(parts[4])), np.float32).reshape(shape)
    numbers = np.array(list(_numbers(_bytes(parts[5]))) if 5 in parts else [], np.uint64)
    return name, numbers.astype(np.int64).astype(kind).reshape(shape)


def _fields(raw: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    place = 0
    while place < len(raw):
        tag, place = _number(raw, place)
        kind = tag & 7
        if kind == 0:
            value, place = _number(raw, place)
            yield tag >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind)
        if length is None:
            length, place = _number(raw, place)
        yield tag >> 3, raw[place : place + length]
        place += length


def _numbers(raw: memoryview) -> Iterator[int]:
    place = 0
    while place < len(raw):
        value, place = _number(raw, place)
        yield value


def _number(raw: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise TypeError("a number where bytes were expected")
    return value
