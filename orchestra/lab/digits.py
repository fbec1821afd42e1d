"""What the anchor of the demo reads in training: arithmetic in digits, in ever more varied surroundings."""

import random

from orchestra.lab.expressions import Example, ask, draw, surrounded

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


def question(rng: random.Random, *, working: bool) -> Example:
    """A question to test with: two to four operands in plain digits."""
    expression = draw(rng, sizes=(2, 3, 4))
    return ask(expression.written(str), expression, working=working)
