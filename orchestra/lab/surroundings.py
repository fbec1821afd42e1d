"""Text around numbers that is not arithmetic: letters, words, marks, and other numbers."""

import random
import string

from orchestra.lab.expressions import MAX_VALUE

_JUNK = string.ascii_lowercase * 2 + string.ascii_uppercase + "<>()[]\"'_.,# "
_MARKS = string.ascii_lowercase + string.ascii_uppercase[:6] + "xbo" * 4 + "()[],\"'" * 3 + "<>._#"


def surrounded(rng: random.Random, number: int) -> str:
    """A number among letters and brackets: the last number of an operand is the one that counts."""
    if rng.random() < 0.35:
        before = "<" + "".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 6)))
    else:
        before = "".join(rng.choices(_JUNK, k=rng.randint(0, 7)))
        if rng.random() < 0.25:
            before += str(rng.randint(0, MAX_VALUE)) + "".join(rng.choices(_JUNK, k=rng.randint(1, 3)))
    after = "" if rng.random() < 0.6 else "".join(rng.choices(_JUNK, k=rng.randint(1, 2)))
    return f"{before}{number}{after}"


def words(rng: random.Random) -> list[str]:
    """One to five words in pieces; a number may stand in the place of a space."""
    pieces = [letters(rng, 9)]
    for _ in range(rng.randint(0, 4)):
        pieces += [str(rng.randint(0, MAX_VALUE)) if rng.random() < 0.3 else " ", letters(rng, 9)]
    return pieces


def code(rng: random.Random) -> list[str]:
    """Up to twelve marks, letters and numbers of one to three digits, each a piece."""
    marks = [
        str(rng.randint(0, rng.choice((9, 99, 999)))) if rng.random() < 0.25 else rng.choice(_MARKS)
        for _ in range(rng.randint(1, 12))
    ]
    return ["0", "xbo"[rng.randrange(3)], *marks] if rng.random() < 0.2 else marks


def letters(rng: random.Random, most: int) -> str:
    """One to so many small letters."""
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, most)))
