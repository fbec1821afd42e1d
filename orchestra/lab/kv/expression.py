"""Expressions over integers with +, - and *; products come before sums, as usual."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

SIGNS = "+-*"
MOST = 6  # operands
LARGEST = 25_000


@dataclass(frozen=True, slots=True)
class Term:
    """A product within an expression: the operands from `first` to `last`, added or subtracted."""

    sign: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Expression:
    """Numbers joined by +, - and *."""

    numbers: tuple[int, ...]
    signs: tuple[str, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """The products that are added or subtracted, in their order."""
        starts = [0, *(at for at, sign in enumerate(self.signs, start=1) if sign != "*"), len(self.numbers)]
        return tuple(
            Term("+" if start == 0 else self.signs[start - 1], start, end - 1) for start, end in pairwise(starts)
        )

    @property
    def value(self) -> int:
        """What it comes to."""
        products = ((term.sign, prod(self.numbers[term.first : term.last + 1])) for term in self.terms)
        return sum(product if sign == "+" else -product for sign, product in products)

    @property
    def products(self) -> int:
        """How many times it multiplies."""
        return self.signs.count("*")

    def written(self, operands: Sequence[str]) -> str:
        """The expression as a question, with these operands."""
        rest = (f"{sign}{operand}" for sign, operand in zip(self.signs, operands[1:], strict=True))
        return operands[0] + "".join(rest) + "="


def draw(
    rng: random.Random, *, sizes: Sequence[int], signs: Sequence[str] = SIGNS, number: Callable[[], int] | None = None
) -> Expression:
    """Draw an expression: as many operands as `sizes` says, each of the signs as likely as any other.

    Args:
        number: draws an operand; default: from 1 to 25,000.
    """
    size = rng.choice(sizes)
    numbers = tuple(number() if number else rng.randint(1, LARGEST) for _ in range(size))
    return Expression(numbers, tuple(rng.choice(signs) for _ in range(size - 1)))
