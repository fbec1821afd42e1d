"""Expressions over the keys of a private table: what bridges are trained on, and what they are tested with."""

import random
import re
from collections.abc import Sequence
from typing import Literal

from orchestra.lab.expressions import MAX_VALUE, Example, Expression, ask
from orchestra.lab.table import Table

Kind = Literal["keys", "mixed", "digits"]


def exercise(rng: random.Random, table: Table, keys: Sequence[str]) -> Example:
    """A training example: one to four operands, over half of them all keys, a quarter all digits."""
    kind: Kind = rng.choices(("keys", "mixed", "digits"), (0.55, 0.2, 0.25))[0]
    return _example(rng, table, keys, kind=kind, size=rng.randint(1, 4), working=rng.random() < 0.3)


def in_digits(example: Example, table: Table) -> Example:
    """The same example with the number of each key in the place of its closing bracket, as the anchor could read it."""

    def number(match: re.Match[str]) -> str:
        return f"<{match[1]}{table.values[match[1]]}"

    return tuple((re.sub(r"<([a-z]+)>", number, text), learnt) for text, learnt in example)


def question(rng: random.Random, table: Table, keys: Sequence[str], *, kind: Kind, working: bool) -> Example:
    """A question to test with: two to four operands."""
    return _example(rng, table, keys, kind=kind, size=rng.randint(2, 4), working=working)


def substitution(rng: random.Random, table: Table, keys: Sequence[str]) -> Example:
    """One key, and the number behind it."""
    key = rng.choice(keys)
    return ((f"<{key}>", False), (str(table.values[key]), True))


def _example(rng: random.Random, table: Table, keys: Sequence[str], *, kind: Kind, size: int, working: bool) -> Example:
    as_keys = _which(rng, kind, size)
    drawn = [rng.choice(keys) if is_key else str(rng.randint(0, MAX_VALUE)) for is_key in as_keys]
    numbers = tuple(table.values[text] if is_key else int(text) for text, is_key in zip(drawn, as_keys, strict=True))
    expression = Expression(numbers, tuple(rng.choice("+-") for _ in range(size - 1)))
    operands = [f"<{text}>" if is_key else text for text, is_key in zip(drawn, as_keys, strict=True)]
    return ask(expression.joined(operands), expression, working=working)


def _which(rng: random.Random, kind: Kind, size: int) -> list[bool]:
    """Which operands are keys; a mixed expression of two or more has at least one of each."""
    if kind != "mixed" or size == 1:
        return [kind != "digits"] * size
    while len(set(chosen := [rng.random() < 0.6 for _ in range(size)])) == 1:
        pass
    return chosen
