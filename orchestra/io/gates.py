"""How far bridges are open, as far as the bundles of a plan tell: a scalar gate is one number. No torch."""

import math
import struct
from collections.abc import Iterator
from pathlib import Path

from orchestra.errors import ModelError
from orchestra.graph import Feed, Graph, Site
from orchestra.io.bundle import WEIGHTS_FILE
from orchestra.io.safetensors_header import read_header

_FORMATS = {"F16": ("<e", 2), "F32": ("<f", 4), "F64": ("<d", 8)}


def scalar_gates(graph: Graph) -> dict[Site, float]:
    """The value of each scalar gate that a bundle holds.

    Left out are bridges without a gate, with a gate per token, whose value the text decides, and fresh ones.

    Raises:
        ModelError: the weights of a bundle are gone, or not as they were when it was planned.
    """
    return {site: gate for stack in graph.stacks if stack.bundle for site, gate in _gates(graph, stack, stack.bundle)}


def _gates(graph: Graph, stack: Feed, bundle: str) -> Iterator[tuple[Site, float]]:
    sites = [site for site in graph.sites_of(stack) if site.gate == "scalar"]
    for site in sites:
        number = read_number(Path(bundle) / WEIGHTS_FILE, f"{site.key}.gate")
        if number is not None and math.isfinite(number):
            yield site, math.tanh(number)


def read_number(path: Path, name: str) -> float | None:
    """A tensor of one number in a safetensors file; None where there is none of that name and size.

    Raises:
        ModelError: the file is missing, not safetensors, or not as long as its header says.
    """
    header = read_header(path)
    kind = header.dtypes.get(name)
    if kind not in (*_FORMATS, "BF16") or header.shapes[name] != ():
        return None
    code, size = _FORMATS.get(kind, ("<f", 2))
    try:
        with path.open("rb") as file:
            file.seek(header.starts[name])
            raw = file.read(size)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error
    return float(struct.unpack(code, (b"\0\0" if kind == "BF16" else b"") + raw)[0])  # bf16: the upper half of fp32
