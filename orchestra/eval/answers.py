"""What of a model's answer is its answer, and whether it is right: scoring of the tasks that ship."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from orchestra.eval.executor import run

Document = Mapping[str, Any]
_NUMBER = re.compile(r"(?:(?<![\w)])[-\u2212])?\$?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)")
"""A minus belongs to it where it stands before it alone: not in `10-3`, and not in `10 - 3`."""
_FENCED = re.compile(r"```(?:[\w+-]*\n)?(.*?)(?:```|\Z)", re.DOTALL)


def final(doc: Document, results: Sequence[str]) -> dict[str, float]:
    """Exact match of what stands last in the first line: after its last `=`, so that working may go before it."""
    return {"exact_match": float(_last(results[0]) == _last(str(doc["target"])))}


def spelled(doc: Document, results: Sequence[str]) -> dict[str, float]:
    """Exact match of the first line up to a `=`, after which working may follow; blanks are not counted."""
    return {"exact_match": float(_packed(results[0]) == _packed(str(doc["target"])))}


def number(doc: Document, results: Sequence[str]) -> dict[str, float]:
    """Whether the last number of an answer is the one behind the record's `####`."""
    said = final_number(results[0])
    return {"exact_match": float(said is not None and said == gold_number(doc["answer"]))}


def completes(doc: Document, results: Sequence[str]) -> dict[str, float]:
    """Whether a prompt and its completion pass the record's test (HumanEval's)."""
    passed = run(f"{doc['prompt']}{results[0]}\n\n{doc['test']}\n\ncheck({doc['entry_point']})\n").passed
    return {"pass@1": float(passed)}


def solves(doc: Document, results: Sequence[str]) -> dict[str, float]:
    """Whether a program passes the record's asserts (MBPP's)."""
    parts = (*doc["test_imports"], doc["test_setup_code"], program(results[0]), *doc["test_list"])
    return {"pass@1": float(run("\n".join(parts)).passed)}


def final_number(text: str) -> Decimal | None:
    """The last number of a text, however it is written: `-1,200.50`, `$18`, `5.`; None where there is none."""
    found = _NUMBER.findall(text)
    return _value(found[-1]) if found else None


def gold_number(answer: str) -> Decimal | None:
    """The number behind the last `####` (GSM8K's); None where there is none."""
    _, mark, tail = answer.rpartition("####")
    return _value(tail.strip()) if mark and _NUMBER.fullmatch(tail.strip()) else None


def program(answer: str) -> str:
    """The first block between ``` fences, or all there is."""
    fenced = _FENCED.search(answer)
    return fenced[1] if fenced else answer


def docstring(doc: Document) -> str:
    """The docstring of a record of CodeXGLUE, in words and single blanks."""
    return " ".join(" ".join(doc["docstring_tokens"]).split())


def _last(answer: str) -> str:
    lines = answer.strip().splitlines()
    return lines[0].rsplit("=", 1)[-1].strip() if lines else ""


def _packed(answer: str) -> str:
    lines = answer.strip().splitlines()
    return "".join(lines[0].split("=")[0].split()) if lines else ""


def _value(written: str) -> Decimal:
    return Decimal(re.sub(r"[$,]", "", written.replace("\u2212", "-")))
