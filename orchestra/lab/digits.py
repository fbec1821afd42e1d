"""What the anchor of the demo reads in training: arithmetic in digits, in ever more varied surroundings."""

import random

from orchestra.lab.expressions import Example, ask, draw
from orchestra.lab.surroundings import code, letters, surrounded, words

WORKING_SHARE = 0.3


def lesson(rng: random.Random, step: int) -> Example:
    """An example for a step: two operands first, then three, then four, then numbers among letters and brackets."""
    sizes = (1, 2, 2) if step < 300 else (1, 2, 3, 3) if step < 800 else (1, 2, 3, 4, 4)
    expression = draw(rng, sizes=sizes)
    varied = step >= 1200 and rng.random() < 0.5
    if varied:
        question = expression.written(
            lambda number: surrounded(rng, number) if rng.random() < 0.7 else str(number), spaced=rng.random() < 0.3
        )
    else:
        question = expression.written(str, spaced=step >= 1200 and rng.random() < 0.2)
    return ask(question, expression, working=rng.random() < WORKING_SHARE)


def reading(rng: random.Random, step: int) -> Example:
    """An example of the second stage: half as before, half with words and code before the numbers, and more of both."""
    if rng.random() < 0.4:
        return lesson(rng, 10_000)
    expression = draw(rng, sizes=(1, 2, 3, 4, 4))
    pieces: list[tuple[str, bool]] = []
    for sign, number in zip(("", *expression.signs), expression.numbers, strict=True):
        pieces.append((f"{sign} " if sign else "", False))
        pieces += [(text, False) for text in _operand(rng, number)]
    (mark, _), answer = ask("", expression, working=rng.random() < WORKING_SHARE)
    return (*(piece for piece in pieces if piece[0]), (mark, False), answer)


def _operand(rng: random.Random, number: int) -> list[str]:
    """A number in spaced text, alone or after words or code; it may stand in the place of the space after them."""
    style = rng.choices(("alone", "bracket", "words", "code"), (0.3, 0.1, 0.3, 0.3))[0]
    if style == "alone":
        return [str(number), " "]
    if style == "bracket":
        return ["<" + letters(rng, 6), str(number), " "]
    before = words(rng) if style == "words" else code(rng)
    return [*before, str(number), *([" "] if rng.random() < 0.3 else [])]


def question(rng: random.Random, *, working: bool) -> Example:
    """A question to test with: two to four operands in plain digits."""
    expression = draw(rng, sizes=(2, 3, 4))
    return ask(expression.written(str), expression, working=working)
