"""Reads training records from JSONL, and names every malformed one by file, line and field. No torch.

A record is `{"prompt": ..., "completion": ...}`, with the loss on the completion, or `{"text": ...}`, with the loss on
everything; a file may hold both. Blank lines are skipped.
"""

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra.errors import DataError

SHOWN = 20
"""How many problems an error lists; the others are counted."""

_FORMS = "record is {'prompt', 'completion'} or {'text'}"
_FIELDS = ("prompt", "completion", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One training record.

    Attributes:
        line: its line in the file, from 1.
        prompt: what is read without loss; None for a `text` record.
        target: the completion, or the text.
    """

    line: int
    prompt: str | None
    target: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """What is wrong at a line."""

    line: int
    what: str


def read_records(path: Path) -> tuple[list[Record], list[Problem]]:
    """Read a JSONL file.

    Returns:
        The well-formed records, and what is wrong with the others.

    Raises:
        DataError: the file cannot be read, or is not text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        broken_line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}: line {broken_line}: is not UTF-8 text: byte 0x{content[error.start]:02x}.") from error
    records: list[Record] = []
    problems: list[Problem] = []
    # Not splitlines(): a JSON string may hold U+2028 as it is.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        parsed = _parse(line, number)
        if isinstance(parsed, Record):
            records.append(parsed)
        else:
            problems += [Problem(line=number, what=what) for what in parsed]
    return records, problems


def refuse(path: Path, problems: Iterable[Problem]) -> None:
    """Raise one error that names the first problems and counts the rest; no problem, no error.

    Raises:
        DataError: there are problems.
    """
    lines = [f"{path}: line {problem.line}: {problem.what}" for problem in sorted(problems)]
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"{path}: and {len(lines) - SHOWN} more problems."]
    if lines:
        raise DataError.listing(lines)


def _parse(line: str, number: int) -> Record | list[str]:
    try:
        found = json.loads(line, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        return [f"is not JSON: {error.msg} at column {error.colno}."]
    except (ValueError, RecursionError):  # numbers of thousands of digits, thousands of brackets
        return [f"cannot be read; a {_FORMS}."]
    if not isinstance(found, _Pairs):
        return [f"is {_show(found)}; a {_FORMS}."]
    problems = list(_problems(found))
    if problems:
        return problems
    fields: dict[str, str] = dict(found)
    return Record(line=number, prompt=fields.get("prompt"), target=fields["text" if "text" in fields else "completion"])


class _Pairs(list[tuple[str, Any]]):
    """The fields of a JSON object in order, so that one that stands twice is seen."""


def _problems(pairs: _Pairs) -> Iterator[str]:
    names = [name for name, _ in pairs]
    for name in dict.fromkeys(names):
        if name not in _FIELDS:
            close = difflib.get_close_matches(name, _FIELDS, n=1)
            hint = f"did you mean '{close[0]}'? A" if close else "a"
            yield f"unknown field '{name}'; {hint} {_FORMS}."
        elif names.count(name) > 1:
            yield f"'{name}' stands twice; keep one of them."
    if "text" in names:
        beside = [name for name in ("prompt", "completion") if name in names]
        if beside:
            yield f"'text' stands beside '{beside[0]}'; a {_FORMS}."
    else:
        yield from (f"'{name}' is missing; a {_FORMS}." for name in ("prompt", "completion") if name not in names)
    for name, value in pairs:
        if name in _FIELDS:
            yield from _value_problems(name, value)


def _value_problems(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"'{name}' is {_show(value)}; it must be a string."
    elif not value and name != "prompt":
        yield f"'{name}' is empty; there is nothing to learn."
    elif any("\ud800" <= char <= "\udfff" for char in value):
        yield f"'{name}' holds half of a surrogate pair; it must be Unicode text."


def _show(value: Any) -> str:
    if isinstance(value, _Pairs):
        return "an object"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
