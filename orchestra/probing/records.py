"""Reads the records of a probing, and names every malformed one by file, line and field. No torch.

A record is one of training, `{"prompt", "completion"}` or `{"text"}`, and may say more:

    "label"    what is to be told at the prompt's last token, in place of the completion
    "spans"    [{"start", "end", "label"}, ...]: what is to be told at the token that ends a span; offsets count
               characters of the prompt, or of the text, from 0, `end` not being part of the span

What a model is to deliver is the first token of a label.
"""

import difflib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra.errors import DataError
from orchestra.files import repeated

SHOWN = 20
_FIELDS = ("prompt", "completion", "text", "label", "spans")
_SPAN = ("start", "end", "label")
_FORM = "a record is {'prompt', 'completion'} or {'text'}, with 'label' or 'spans'"
PROMPT, SPANS = "prompt", "spans"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in a text and what is to be told there.

    Attributes:
        end: how many characters are read there; None at the end of the prompt, special tokens included.
        line: of the record.
        field: of the label.
    """

    kind: str
    end: int | None
    label: str
    line: int
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A text and its marks."""

    text: str
    marks: tuple[Mark, ...]


def read_records(path: Path) -> list[Record]:
    """Read a JSONL file.

    Raises:
        DataError: the file cannot be read, holds nothing, or has malformed records: up to 20 problems are listed.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    records, problems = list[Record](), list[str]()
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            found = _parse(line, number)
            if isinstance(found, Record):
                records.append(found)
            else:
                problems += [f"{path}: line {number}: {what}" for what in found]
    refuse(path, problems)
    if not records:
        raise DataError(f"{path}: holds no record.")
    return records


def refuse(path: Path, problems: list[str]) -> None:
    """Raise one error that names the first problems and counts the rest; no problem, no error."""
    if len(problems) > SHOWN:
        problems = [*problems[:SHOWN], f"{path}: and {len(problems) - SHOWN} more problems."]
    if problems:
        raise DataError.listing(problems)


def drawn(records: list[Record], limit: int | None, seed: int) -> list[Record]:
    """So many of the records, by the seed, in their order."""
    if limit is None or limit >= len(records):
        return records
    return [records[index] for index in sorted(random.Random(seed).sample(range(len(records)), limit))]


def split(records: list[Record], share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Records to fit on, and others to score on. A text is on one side, however often it stands there."""
    texts = sorted({record.text for record in records})
    random.Random(seed).shuffle(texts)
    held = {*texts[: min(max(1, round(share * len(texts))), len(texts) - 1)]}
    return [each for each in records if each.text not in held], [each for each in records if each.text in held]


def _parse(line: str, number: int) -> Record | list[str]:
    try:
        found = json.loads(line, object_pairs_hook=_fields)
    except _TwiceError as error:
        return [f"'{error}' stands twice; keep one of them."]
    except json.JSONDecodeError as error:
        return [f"is not JSON: {error.msg} at column {error.colno}."]
    except (ValueError, RecursionError):  # numbers of thousands of digits, thousands of brackets
        return [f"cannot be read; {_FORM}."]
    if not isinstance(found, dict):
        return [f"is {_show(found)}; {_FORM}."]
    problems = list(_problems(found))
    text: str = found["prompt" if "prompt" in found else "text"] if not problems else ""
    return problems or Record(text=text, marks=tuple(_marks(found, number)))


class _TwiceError(ValueError):
    """A field that an object has twice: JSON would keep the last."""


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := repeated([name for name, _ in pairs]):
        raise _TwiceError(twice[0])
    return dict(pairs)


def _problems(found: dict[str, Any]) -> Iterator[str]:
    for name in found:
        if name not in _FIELDS:
            close = difflib.get_close_matches(name, _FIELDS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"{_FORM}."
            yield f"unknown field '{name}'; {hint}"
    if "text" in found and {"prompt", "completion"} & found.keys():
        yield f"'text' stands beside '{'prompt' if 'prompt' in found else 'completion'}'; {_FORM}."
    elif not {"text", "prompt"} & found.keys():
        yield f"'prompt' is missing; {_FORM}."
    for name in ("prompt", "text", "completion", "label"):
        if name in found:
            yield from _string(f"'{name}'", found[name])
    spans = found.get("spans", [])
    if not isinstance(spans, list):
        yield f"'spans' is {_show(spans)}; it is a list of {{'start', 'end', 'label'}}."
    else:
        text = found.get("prompt", found.get("text"))
        for index, span in enumerate(spans):
            yield from _span_problems(f"spans.{index}", span, len(text) if isinstance(text, str) else None)
        if not spans and not {"completion", "label"} & found.keys():
            yield "says nothing that could be told: give it a 'completion', a 'label' or 'spans'."


def _span_problems(where: str, span: Any, length: int | None) -> Iterator[str]:
    if not isinstance(span, dict) or span.keys() != {*_SPAN}:
        yield f"'{where}' is {_show(span)}; a span is {{'start', 'end', 'label'}}."
        return
    yield from _string(f"'{where}.label'", span["label"])
    start, end = span["start"], span["end"]
    for name, value in (("start", start), ("end", end)):
        if type(value) is not int:
            yield f"'{where}.{name}' is {_show(value)}; it counts characters."
            return
    if length is not None and not 0 <= start < end <= length:
        yield f"'{where}' goes from {start} to {end}, and the text has {length} characters."


def _string(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{name} is {_show(value)}; it must be a string."
    elif not value:
        yield f"{name} is empty; nothing stands there to be told."
    elif any("\ud800" <= char <= "\udfff" for char in value):
        yield f"{name} holds half of a surrogate pair; it must be Unicode text."


def _marks(found: dict[str, Any], line: int) -> Iterator[Mark]:
    for field in ("label", "completion"):
        if field in found:
            yield Mark(kind=PROMPT, end=None, label=found[field], line=line, field=field)
            break
    for index, span in enumerate(found.get("spans", [])):
        yield Mark(kind=SPANS, end=span["end"], label=span["label"], line=line, field=f"spans.{index}.label")


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
