"""Functions of Python's standard library: their code, and what they say of themselves. Modules are held out whole."""

import ast
import hashlib
import sysconfig
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "turtledemo", "__pycache__"}
_LINES = range(2, 16)  # of a body without its docstring
_WORDS = range(4, 31)  # of what it says of itself
_LONGEST = 400  # characters of code


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function.

    Attributes:
        module: the top-level module or package that it is of.
        told: the first paragraph of its docstring, on one line.
        head: from `def` to the colon; `body`: the lines below without the docstring; both as if `def` stood at the
            margin.
    """

    module: str
    name: str
    told: str
    head: str
    body: str

    @property
    def code(self) -> str:
        """The function without its docstring."""
        return f"{self.head}\n{self.body}"


def sources() -> Iterator[tuple[str, str]]:
    """Each file of the standard library: the module or package that it is of, and its text."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if not _LEFT_OUT.intersection(inside.parts):
            try:
                yield inside.parts[0].removesuffix(".py"), path.read_text("utf-8")
            except UnicodeDecodeError:  # a few files are there to be in other encodings
                continue


def functions(text: str, module: str) -> Iterator[Function]:
    """The functions of a file that say what they do and are short enough to be asked for."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    lines = text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (found := _function(node, lines, module)) is not None:
            yield found


def _function(node: ast.FunctionDef, lines: Sequence[str], module: str) -> Function | None:
    told = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    if len(told.split()) not in _WORDS or not told.isascii() or len(node.body) < 2:
        return None
    start = node.body[0].end_lineno or 0
    body = lines[start : node.end_lineno]
    head = lines[node.lineno - 1 : node.body[0].lineno - 1]
    whole = textwrap.dedent("\n".join([*head, *(line for line in body if line.strip())]))
    if (
        len(head) != 1
        or sum(bool(line.strip()) for line in body) not in _LINES
        or not whole.isascii()
        or len(whole) > _LONGEST
    ):
        return None
    first, _, rest = whole.partition("\n")
    return Function(module=module, name=node.name, told=told, head=first, body=rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Functions by what they are for; no module is in two parts, and no function is in two."""

    train: tuple[Function, ...]
    tune: tuple[Function, ...]
    test: tuple[Function, ...]


def held_out(module: str) -> str:
    """Which part a module is of: one in ten is for tests, one in twenty for tuning."""
    place = int.from_bytes(hashlib.sha256(module.encode()).digest()[:2]) % 20
    return "test" if place < 2 else "tune" if place == 2 else "train"


def split(found: Sequence[Function], *, train: int, tune: int, test: int) -> Split:
    """Draw from each part, the same whenever the functions are the same; code that is there twice is taken once."""
    parts: dict[str, list[Function]] = {"train": [], "tune": [], "test": []}
    seen: set[str] = set()
    for function in sorted(found, key=lambda one: hashlib.sha256(one.code.encode()).digest()):
        if function.body not in seen and function.told not in seen:
            seen |= {function.body, function.told}
            parts[held_out(function.module)].append(function)
    sizes = {"train": train, "tune": tune, "test": test}
    return Split(**{name: tuple(parts[name][:size]) for name, size in sizes.items()})
