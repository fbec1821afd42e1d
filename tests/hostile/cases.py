"""What a hostile file is here: how it is made from a whole graph, and how the one error over it begins."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra import BundleError, GraphError, ModelError, OrchestraError, SpecError
from tests import folders


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A hostile file or folder.

    Attributes:
        build: makes it out of a folder that holds `graph.json`, the models `anchor` and `kv`, and `kv-bundle`.
        kind: of the error; None where the file does no harm and the graph loads.
        told: how the error begins; `{base}` is the folder.
    """

    build: Callable[[Path], object]
    kind: type[OrchestraError] | None
    told: str = ""


Cases = dict[str, Case]


def spec(told: str, build: Callable[[Path], object]) -> Case:
    """What is no graph document."""
    return Case(build=build, kind=SpecError, told=f"{{base}}/graph.json: {told}")


def bundle(told: str, build: Callable[[Path], object]) -> Case:
    """A bundle that is refused on paper."""
    return Case(build=build, kind=GraphError, told=f"augments.kv.bridges: {{base}}/kv-bundle{told}")


def misfit(told: str, build: Callable[[Path], object]) -> Case:
    """A bundle that is refused once its models are known."""
    return Case(build=build, kind=BundleError, told=f"augments.kv.bridges: {{base}}/kv-bundle{told}")


def model(told: str, build: Callable[[Path], object]) -> Case:
    """An augment's folder that is refused on paper."""
    return Case(build=build, kind=GraphError, told=f"augments.kv.model: {{base}}/kv{told}")


def loading(told: str, build: Callable[[Path], object]) -> Case:
    """An augment's folder that is refused while it is loaded."""
    return Case(build=build, kind=ModelError, told=f"{{base}}/kv{told}")


def sparse(path: Path, size: int, head: bytes = b"") -> None:
    """A file of any length that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)


def linked(path: Path, target: str | Path) -> None:
    """Put a link in a file's place."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def safetensors(path: Path, header: str | dict[str, Any], data: int = 24, *, announced: int | None = None) -> None:
    """A file with this header, and so many bytes of data."""
    raw = (header if isinstance(header, str) else json.dumps(header)).encode()
    sparse(path, 8 + len(raw) + data, (announced or len(raw)).to_bytes(8, "little") + raw)


def recipe(**fields: Any) -> Callable[[Path], object]:
    """A graph whose augment kv has these fields."""
    return lambda base: folders.graph(base / "graph.json", folders.document(kv=fields))


def edited(name: str, **changes: Any) -> Callable[[Path], object]:
    """Fields of a JSON file, changed."""
    return lambda base: folders.edit_json(base / name, **changes)


def written(name: str, content: str | bytes) -> Callable[[Path], object]:
    """A file with this content."""
    return lambda base: (base / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def first(*builds: Callable[[Path], object]) -> Callable[[Path], object]:
    """One after the other."""

    def build(base: Path) -> None:
        for each in builds:
            each(base)

    return build
