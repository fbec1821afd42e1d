"""Python atoms, each worth a number from 0 to 99: literals in other bases, lengths, character codes, list items.

The tests ask Python itself what each atom is worth. No atom ends in its own value in digits, so that nothing but Python
tells it, and none holds a character that joins or ends expressions.
"""

import random
import string

from orchestra.lab.domain import Domain, Piece, drawn_until
from orchestra.lab.expressions import MAX_VALUE

_LETTERS = string.ascii_lowercase
_CODES = tuple(code for code in range(33, MAX_VALUE + 1) if chr(code) not in "+-=:\"'\\")


def atom(rng: random.Random) -> str:
    """A literal in base 16, 8 or 2, the length of a string, the code of a character, or an item of a list."""
    kind = rng.choice(("literal", "length", "code", "item"))
    quote = rng.choice("\"'")
    if kind == "literal":
        written = rng.choice(("0x{:x}", "0x{:X}", "0o{:o}", "0b{:b}")).format(rng.randint(2, MAX_VALUE))
        return atom(rng) if _ends_in_its_value(written) else written
    if kind == "length":
        return f"len({quote}{''.join(rng.choices(_LETTERS, k=rng.randint(0, 16)))}{quote})"
    if kind == "code":
        return f"ord({quote}{chr(rng.choice(_CODES))}{quote})"
    items = [rng.randint(0, MAX_VALUE) for _ in range(rng.randint(2, 5))]
    index = rng.randrange(len(items))
    return atom(rng) if items[index] == index else f"[{','.join(map(str, items))}][{index}]"


def worth(atom: str) -> int:
    """What an atom is worth, as Python would say."""
    if atom.startswith("0"):
        return int(atom, 0)
    if atom.startswith("["):
        items, index = atom[1:-1].split("][")
        return int(items.split(",")[int(index)])
    inside = atom[len("len('") : -len("')")]
    return len(inside) if atom.startswith("len") else ord(inside)


def pieces(atom: str) -> tuple[Piece, ...]:
    """The atom, and the space at which its value is known."""
    return (atom, None), (" ", worth(atom))


def _ends_in_its_value(literal: str) -> bool:
    """Whether the last digits of a literal, as the tokenizer groups them, are its value in base ten."""
    digits = literal[2:]
    tail = digits[len(digits.rstrip(string.digits)) :]
    return tail != "" and int(tail[3 * ((len(tail) - 1) // 3) :]) == int(literal, 0)


ATOMS = "literals, lengths, character codes and list items without number; bridges may see a fifth of them"
DOMAIN = Domain(name="python", draw=drawn_until(atom), pieces=pieces)
