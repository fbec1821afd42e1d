"""Asks a model what the paper's Table 1 asks: substitution, arithmetic over digits, arithmetic over keys."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from orchestra.lab.kv.bridges import question
from orchestra.lab.kv.expression import MOST, Expression, draw
from orchestra.lab.kv.keys import UniqueTable
from orchestra.lab.kv.working import answer, restated, working
from orchestra.lab.measure import Score, answers

SEED = 20_240_105  # questions are drawn from other seeds than examples
SIZES = range(3, MOST + 1)
_ROWS = 250  # questions that are asked together at most
_ALIKE = 1.4  # the longest working of questions that are asked together, in shortest ones


class Asked(NamedTuple):
    """A question, and the expression that it asks for."""

    text: str
    expression: Expression


def over_digits(count: int, *, seed: int = SEED) -> list[Asked]:
    """Expressions of 3 to 6 integers from 1 to 25,000, each sign as likely as any other."""
    rng = random.Random(f"{seed}/digits")
    drawn = [draw(rng, sizes=SIZES) for _ in range(count)]
    return [Asked(one.written([str(number) for number in one.numbers]), one) for one in drawn]


def over_keys(count: int, table: UniqueTable, *, seen: bool = False, seed: int = SEED) -> list[Asked]:
    """The same over keys that no bridge saw, or over those that bridges did see."""
    rng = random.Random(f"{seed}/keys/{seen}")
    asked = []
    for _ in range(count):
        keys: list[str] = []

        def number(keys: list[str] = keys) -> int:
            keys.append(rng.choice(table.seen if seen else table.unseen))
            return table.values[keys[-1]]

        expression = draw(rng, sizes=SIZES, number=number)
        asked.append(Asked(question(expression, keys), expression))
    return asked


def score(model: PreTrainedModel, words: PreTrainedTokenizerFast, asked: Sequence[Asked]) -> dict[str, Any]:
    """Exact match of substitutions and of answers, and of answers by number of operands and of products.

    Returns:
        JSON values: `substitution`, `answer`, `by_operands` and `by_products`, each a `Score.record()` or several.
    """
    said = _said(model, words, asked)
    right = [answer(text) == one.expression.value for text, one in zip(said, asked, strict=True)]
    restating = ["".join(restated(one.expression)) for one in asked]
    substituted = [text.startswith(wanted) for text, wanted in zip(said, restating, strict=True)]
    return {
        "substitution": _record(substituted),
        "answer": _record(right),
        "by_operands": _split(asked, right, lambda one: len(one.numbers)),
        "by_products": _split(asked, right, lambda one: one.products),
    }


def substitutes(model: PreTrainedModel, words: PreTrainedTokenizerFast, asked: Sequence[Asked]) -> list[bool]:
    """Whether a model restates each question right; what it says then is not waited for."""
    wanted = [restated(one.expression) for one in asked]
    longest = max(map(len, wanted))
    said = answers(model, words, [one.text for one in asked], max_new_tokens=longest)
    return [text.startswith("".join(tokens)) for text, tokens in zip(said, wanted, strict=True)]


def right(model: PreTrainedModel, words: PreTrainedTokenizerFast, asked: Sequence[Asked]) -> list[bool]:
    """Whether a model comes to the value of each question."""
    said = _said(model, words, asked)
    return [answer(text) == one.expression.value for text, one in zip(said, asked, strict=True)]


def _said(model: PreTrainedModel, words: PreTrainedTokenizerFast, asked: Sequence[Asked]) -> list[str]:
    """What a model says to each question; one that goes on for longer than the right working is cut off there."""
    lengths = [len(working(one.expression)) for one in asked]
    order = sorted(range(len(asked)), key=lengths.__getitem__)
    said = [""] * len(asked)
    while order:
        rows = [row for row in order[:_ROWS] if lengths[row] <= _ALIKE * lengths[order[0]]]
        order = order[len(rows) :]
        found = answers(model, words, [asked[row].text for row in rows], max_new_tokens=lengths[rows[-1]] + 2)
        for row, text in zip(rows, found, strict=True):
            said[row] = text
    return said


def _split(
    asked: Sequence[Asked], right: Sequence[bool], number: Callable[[Expression], int]
) -> dict[str, dict[str, Any]]:
    parts: dict[int, list[bool]] = defaultdict(list)
    for one, found in zip(asked, right, strict=True):
        parts[number(one.expression)].append(found)
    return {str(size): _record(parts[size]) for size in sorted(parts)}


def _record(right: Sequence[bool]) -> dict[str, Any]:
    record = Score(right=sum(right), asked=len(right), guess=0.0).record()
    del record["guess"]  # no answer is frequent
    return record
