"""Reads the records of a task from JSONL, and names every malformed one by file, line and field. No torch.

The fields are those of the data sets that people have: HumanEval's, MBPP's, GSM8K's, CodeXGLUE's. What a record holds
besides is left out.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra.errors import DataError
from orchestra.eval.answers import gold_number
from orchestra.files import read_text, strict_json

Record = dict[str, Any]
Test = Callable[[Any], str | None]
"""What is wrong with a field's value; None where nothing is."""

SHOWN = 20
"""How many problems an error lists; the others are counted."""
_FILE_BYTES = 4_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a record of a task is.

    Attributes:
        fields: what each record has.
        optional: what it may have, and the value that stands for it where it has not.
        instead: other names of fields.
        unique: the field that tells records apart.
    """

    fields: Mapping[str, Test]
    optional: Mapping[str, tuple[Test, Any]] | None = None
    instead: Mapping[str, str] | None = None
    unique: str | None = None


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    return None if value.strip() else "is empty"


def _any_text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def _texts(value: Any) -> str | None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return "must be a list of strings"
    return None


def _some_texts(value: Any) -> str | None:
    return _texts(value) or (None if value else "is empty")


def _name(value: Any) -> str | None:
    return None if isinstance(value, str) and value.isidentifier() else "must be the name of a function"


def _integer(value: Any) -> str | None:
    return None if type(value) is int else "must be an integer"


def _worked(value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    return None if gold_number(value) is not None else "must end in '#### ' and a number"


_KEYS = Form(fields={"key": _text, "value": _integer}, unique="key")
FORMS: dict[str, Form] = {
    "keys_substitution": _KEYS,
    "keys_arithmetic": _KEYS,
    "keys_digits": _KEYS,
    "to_english": Form(fields={"source": _text, "english": _text}),
    "word_problems": Form(fields={"question": _text, "answer": _worked}),
    "code_completion": Form(
        fields={"task_id": _text, "prompt": _text, "canonical_solution": _text, "test": _text, "entry_point": _name}
    ),
    "text_to_code": Form(
        fields={"text": _text, "code": _text, "test_list": _some_texts},
        optional={"test_setup_code": (_any_text, ""), "test_imports": (_texts, [])},
        instead={"prompt": "text"},
    ),
    "code_to_text": Form(fields={"code_tokens": _some_texts, "docstring_tokens": _some_texts}),
}
"""The tasks that read a file of the user's, and what a record of each is."""


def read(path: Path, task: str) -> list[Record]:
    """The records of a file.

    Raises:
        DataError: the file cannot be read, has no record, or has malformed ones, which are all named.
    """
    try:
        text = read_text(path, _FILE_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        said = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise DataError(f"{path}: cannot be read: {said}.") from error
    form, found, problems = FORMS[task], list[Record](), list[str]()
    lines = dict[Any, int]()
    # Not splitlines(): a JSON string may hold U+2028 as it is.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        record, wrong = _parsed(line, form)
        if form.unique and not wrong and lines.setdefault(record[form.unique], number) != number:
            wrong = [f"'{form.unique}' is {record[form.unique]!r}, as in line {lines[record[form.unique]]}"]
        problems += [f"{path}: line {number}: {what}; a record of {task} has {_told(form)}." for what in wrong]
        found.append(record)
    _refuse(path, problems)
    if not found:
        raise DataError(f"{path}: has no records; one of {task} has {_told(form)}.")
    return found


def _refuse(path: Path, problems: list[str]) -> None:
    if len(problems) > SHOWN:
        problems = [*problems[:SHOWN], f"{path}: and {len(problems) - SHOWN} more problems."]
    if problems:
        raise DataError.listing(problems)


def _parsed(line: str, form: Form) -> tuple[Record, list[str]]:
    """A record with the fields of its form alone, and what is wrong with it."""
    try:
        value = strict_json(line)
    except (ValueError, RecursionError) as error:
        return {}, [f"is not JSON: {error}"]
    if not isinstance(value, dict):
        return {}, ["is no object"]
    given = dict(value)
    for other, name in (form.instead or {}).items():
        if other in given and name not in given:
            given[name] = given.pop(other)
    optional = form.optional or {}
    told = {name: value for name, value in given.items() if value is not None or name not in optional}
    record = {name: told.get(name, optional[name][1] if name in optional else None) for name in _names(form)}
    return record, list(_problems(given, form))


def _problems(given: Mapping[str, Any], form: Form) -> Iterator[str]:
    for name, test in form.fields.items():
        if name not in given:
            yield f"'{name}' is missing"
        elif what := test(given[name]) or _unwritable(given[name]):
            yield f"'{name}' {what}"
    for name, (test, _) in (form.optional or {}).items():
        if given.get(name) is not None and (what := test(given[name]) or _unwritable(given[name])):
            yield f"'{name}' {what}"


def _unwritable(value: Any) -> str | None:
    """What JSON can spell and no text can hold: half a character, as UTF-16 parts some."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        return f"has {error.object[error.start]!r}, half a character"
    return None


def _names(form: Form) -> Iterable[str]:
    return (*form.fields, *(form.optional or {}))


def _told(form: Form) -> str:
    return ", ".join(f"'{name}'" for name in form.fields)
