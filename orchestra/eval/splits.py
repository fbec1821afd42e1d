"""Makes the data sets of the tasks that ship: the harness calls these functions, as the tasks' YAML says.

Each takes what `--metadata` holds, of which it names what it knows, and returns one split, `test`, held in memory.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from datasets import Dataset

from orchestra.errors import EvalError
from orchestra.eval.records import Record, read

TASKS = Path(__file__).with_name("tasks")
"""The folder of the tasks that ship."""

Splits = dict[str, Dataset]


class Given(TypedDict):
    """What every task is told.

    Attributes:
        files: by task; under '' the file of all that have none of their own.
    """

    files: Mapping[str, str]
    seed: int


def from_file(*, of: str, orchestra: Given, **_: object) -> Splits:
    """The records of the user's file.

    Args:
        of: the task whose records they are.

    Raises:
        EvalError: there is no file.
        DataError: a record is malformed.
    """
    return {"test": Dataset.from_list(_records(of, orchestra))}


def from_keys(
    *,
    of: str,
    orchestra: Given,
    questions: int = 1000,
    operands: Sequence[int] = (3, 6),
    signs: str = "+-*",
    **_: object,
) -> Splits:
    """Expressions over the keys of the user's file; a seed draws the same ones for every task.

    Args:
        operands: how many keys stand in an expression, at least and at most.
        signs: what may stand between two.

    Raises:
        EvalError: there is no file, or no such expressions.
        DataError: a record is malformed.
    """
    if not (_counts(questions) and _range(operands) and isinstance(signs, str) and signs and set(signs) <= set("+-*")):
        raise EvalError(
            f"--metadata: questions is {questions!r}, operands {operands!r}, signs {signs!r}; a positive number, "
            "two with the smaller first, and some of +-* are needed."
        )
    least, most = operands
    values = {record["key"]: record["value"] for record in _records(of, orchestra)}
    rng, keys, rows = random.Random(f"{orchestra['seed']}/keys"), list(values), []
    for _number in range(questions):
        chosen = rng.choices(keys, k=rng.randint(least, most))
        between = rng.choices(signs, k=len(chosen) - 1)
        numbers = [values[key] for key in chosen]
        digits = _joined(list(map(str, numbers)), between)
        target = digits if of == "keys_substitution" else str(worth(numbers, between))
        rows.append({"keys": _joined(chosen, between), "digits": digits, "target": target})
    return {"test": Dataset.from_list(rows)}


def shipped(*, of: str, **_: object) -> Splits:
    """The questions that ship with a task."""
    lines = (TASKS / "trio" / f"{of}.jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": Dataset.from_list([json.loads(line) for line in lines])}


def worth(numbers: Sequence[int], signs: Sequence[str]) -> int:
    """What an expression comes to; products go first."""
    total, term = 0, numbers[0]
    for sign, number in zip(signs, numbers[1:], strict=True):
        if sign == "*":
            term *= number
        else:
            total, term = total + term, number if sign == "+" else -number
    return total + term


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _range(value: object) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(_counts, value))
    return pair and value[0] <= value[1]  # type: ignore[index]


def _joined(operands: Sequence[str], signs: Sequence[str]) -> str:
    rest = (f" {sign} {operand}" for sign, operand in zip(signs, operands[1:], strict=True))
    return operands[0] + "".join(rest)


def _records(of: str, given: Given) -> list[Record]:
    path = given["files"].get(of) or given["files"].get("")
    if path is None:
        raise EvalError(f"{of} reads a file of yours: name it by --data FILE, or --data {of}=FILE.")
    return read(Path(path), of)
