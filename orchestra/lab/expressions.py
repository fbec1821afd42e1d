"""Arithmetic in text: expressions over numbers, however the numbers are written.

An expression is asked as `12+45-7=` and answered `50`; asked as `12+45-7:`, the working is answered as well, first the
expression in plain digits and then one operation at a time: `12+45-7=57-7=50`.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Example = tuple[tuple[str, bool], ...]
"""Pieces of text, and whether each is learnt (True) or only read (False)."""

MAX_VALUE = 99


@dataclass(frozen=True, slots=True)
class Expression:
    """Numbers joined by + and -, evaluated from left to right."""

    numbers: tuple[int, ...]
    signs: tuple[str, ...]

    @property
    def value(self) -> int:
        """What it comes to."""
        pairs = zip(self.signs, self.numbers[1:], strict=True)
        return self.numbers[0] + sum(number if sign == "+" else -number for sign, number in pairs)

    @property
    def working(self) -> str:
        """The expression in digits, then one operation at a time, to the value."""
        steps, rest = [], self
        while rest.signs:
            steps.append(rest.written(str))
            first = Expression(rest.numbers[:2], rest.signs[:1]).value
            rest = Expression((first, *rest.numbers[2:]), rest.signs[1:])
        return "=".join([*steps, rest.written(str)])

    def written(self, write: Callable[[int], str], *, spaced: bool = False) -> str:
        """The expression as text, each number written by `write`."""
        return self.joined([write(number) for number in self.numbers], spaced=spaced)

    def joined(self, operands: Sequence[str], *, spaced: bool = False) -> str:
        """The expression as text, with these operands."""
        gap = " " if spaced else ""
        rest = (f"{gap}{sign}{gap}{operand}" for sign, operand in zip(self.signs, operands[1:], strict=True))
        return operands[0] + "".join(rest)


def draw(rng: random.Random, *, sizes: Sequence[int], number: Callable[[], int] | None = None) -> Expression:
    """Draw an expression: its number of operands from `sizes`, each operand from 0 to 99 or by `number`."""
    size = rng.choice(sizes)
    numbers = tuple(number() if number else rng.randint(0, MAX_VALUE) for _ in range(size))
    return Expression(numbers, tuple(rng.choice("+-") for _ in range(size - 1)))


def ask(question: str, expression: Expression, *, working: bool) -> Example:
    """The example that asks for the value of an expression, written as `question`."""
    if working:
        return ((f"{question}:", False), (expression.working, True))
    return ((f"{question}=", False), (str(expression.value), True))
