"""Makes the data sets of the tasks that ship: the harness calls these functions, as the tasks' YAML says.

Each takes what `--metadata` holds, of which it names what it knows, and returns a split, `test`, held in memory. Where
examples cannot be other records of it there is a second one, `examples`.
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
DRAWN = ("questions", "operands", "signs")
"""What `from_keys` reads of `--metadata`."""
_SHARE, _FEWEST = 4, 8

Splits = dict[str, Dataset]


class Given(TypedDict):
    """What every task is told.

    Attributes:
        files: by task; under '' the file of all that have none of their own.
        shots: how many examples stand before a question.
    """

    files: Mapping[str, str]
    seed: int
    shots: int


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

    An example shows what its keys are worth, so examples have a quarter of the keys for themselves.

    Args:
        operands: how many keys stand in an expression, at least and at most.
        signs: what may stand between two.

    Raises:
        EvalError: there is no file, or no such expressions, or too few keys for examples.
        DataError: a record is malformed.
    """
    if not (_counts(questions) and _range(operands) and isinstance(signs, str) and signs and set(signs) <= set("+-*")):
        raise EvalError(
            f"--metadata: questions is {questions!r}, operands {operands!r}, signs {signs!r}; a positive number, "
            "two with the smaller first, and some of +-* are needed."
        )
    values = {record["key"]: record["value"] for record in _records(of, orchestra)}
    apart = _apart(of, list(values), orchestra)
    seed = orchestra["seed"]

    def drawn(number: int, keys: Sequence[str], rng: random.Random) -> Dataset:
        return Dataset.from_list([_expression(of, values, keys, operands, signs, rng) for _ in range(number)])

    asked = [key for key in values if key not in apart]
    return {
        "test": drawn(questions, asked, random.Random(f"{seed}/keys")),
        "examples": drawn(max(questions, orchestra["shots"]) if apart else 0, apart, random.Random(f"{seed}/examples")),
    }


def _apart(of: str, keys: Sequence[str], given: Given) -> list[str]:
    """The keys that are kept for examples, none where there are no examples."""
    if not given["shots"]:
        return []
    if len(keys) < _FEWEST:
        raise EvalError(
            f"{of}: num_fewshot is {given['shots']}; examples need keys that are not asked about, and of {len(keys)} "
            f"none can be spared: at least {_FEWEST} are needed."
        )
    return random.Random(f"{given['seed']}/apart").sample(keys, len(keys) // _SHARE)


def _expression(
    of: str, values: Mapping[str, int], keys: Sequence[str], operands: Sequence[int], signs: str, rng: random.Random
) -> dict[str, str]:
    least, most = operands
    chosen = rng.choices(keys, k=rng.randint(least, most))
    between = rng.choices(signs, k=len(chosen) - 1)
    numbers = [values[key] for key in chosen]
    digits = _joined(list(map(str, numbers)), between)
    target = digits if of == "keys_substitution" else str(worth(numbers, between))
    return {"keys": _joined(chosen, between), "digits": digits, "target": target}


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
