"""The working of an expression: arithmetic as at school, in tokens that each follow from a few others near or named.

Numbers are cut into limbs of five digits, the least significant digit and limb first. A digit says its place (`7a` is
seven ones, `3c` three hundreds), a limb its name:

- Every operand is restated: `{+A0}` begins a limb that is added as it is, `{+a0}` one that is multiplied on, `{*B}`
  the last factor of a product and `{*b}` any other; the letter is the operand's.
- Every product is a loop over one routine: a limb of five digits, times five digits, plus five that are carried.
  `[B0]` begins it: factor B, limb 0. It copies the limb (`7A`) and what is carried in turns, then makes a row per digit
  of the factor, `*4b`. A column of a row takes two tokens: `·28c`, the product of two digits in column c, and `3³c`,
  what stands there when the digit above it and what was carried are added, with 3 carried on. The row's last carry
  stands in column f. What the rows leave is the next limb.
- Limb by limb, all terms are added to or subtracted from a sum (`{S0}`; `7⁺a` carries or borrows); each line ends
  with what has run over the limb, as `~-1`. `{R0}` is the sum's limb when all are in, and `=+` or `=-` its sign.
- A sum below zero is negated, limb by limb, from `{N0}` on.
"""

import re
from collections.abc import Iterator, Sequence

from orchestra.lab.kv.expression import MOST, Expression, Term

PLACES = "abcde"
LIMB = 10 ** len(PLACES)
OVER = "f"  # the column past a limb
CARRIES = "⁰¹²³⁴⁵⁶⁷⁸⁹"
KEPT, CARRIED = "⁼⁺"
_LETTERS = "ABCDEF"


def working(expression: Expression) -> list[str]:
    """All tokens of an expression's working, up to the answer."""
    terms = expression.terms
    tokens = restated(expression)
    limbs = []
    for term in terms:
        found = [expression.numbers[term.first]]
        for at in range(term.first + 1, term.last + 1):
            found, lines = _multiplied(found, expression.numbers[at], term, at)
            tokens += lines
        limbs.append(found)
    return tokens + _summed(terms, limbs)


def restated(expression: Expression) -> list[str]:
    """The operands, one after the other, in digits."""
    tokens = []
    for term in expression.terms:
        for at in range(term.first, term.last + 1):
            last = at == term.last
            tokens.append(_name(term, at, 0) if at == term.first else f"{{*{_letter(at, last=last)}}}")
            tokens += digits(expression.numbers[at])
    return tokens


def answer(text: str) -> int | None:
    """The answer that a working comes to; None where it comes to none."""
    found = re.search(r"=([+-])((?:\{N\d\}(?:\d.\w){5})*)(~\d)?$", text)
    if found is None:
        return None
    sign, negated, top = found.groups()
    if sign == "-":
        return -_read(re.findall(r"\{N\d\}((?:\d.\w){5})", negated), top[1:]) if top else None
    sums = re.findall(r"\{R\d\}((?:\d\w){5})~(-?\d)", text)
    return _read([limb for limb, _ in sums], sums[-1][1]) if sums and not negated and not top else None


def digits(number: int) -> list[str]:
    """A limb in digits, the ones first."""
    return [f"{digit}{place}" for digit, place in zip(_split(number), PLACES, strict=True)]


def names() -> list[str]:
    """All names that limbs may have."""
    limbs = [f"{{{sign}{letter}{limb}}}" for sign in "+-" for letter in _LETTERS for limb in range(MOST)]
    limbs += [name.lower() for name in limbs]
    factors = [f"{{*{letter}}}" for letter in _LETTERS + _LETTERS.lower()]
    calls = [f"[{letter}{limb}]" for letter in _LETTERS for limb in range(MOST)]
    return [*limbs, *factors, *calls, *(f"{{{kind}{limb}}}" for kind in "SRN" for limb in range(MOST))]


def _read(limbs: Sequence[str], top: str) -> int:
    return int(top + "".join("".join(re.findall(r"\d", limb))[::-1] for limb in reversed(limbs)))


def _split(number: int) -> list[int]:
    return [number // 10**place % 10 for place in range(len(PLACES))]


def _letter(at: int, *, last: bool) -> str:
    return _LETTERS[at] if last else _LETTERS[at].lower()


def _name(term: Term, at: int, limb: int) -> str:
    """The name of a limb of a term's product up to an operand."""
    return f"{{{term.sign}{_letter(at, last=at == term.last)}{limb}}}"


def _multiplied(limbs: Sequence[int], factor: int, term: Term, at: int) -> tuple[list[int], list[str]]:
    """The limbs of a product with one more factor, and its lines."""
    found, tokens, carried = [], [], 0
    for index, limb in enumerate(limbs):
        tokens.append(f"[{_LETTERS[at]}{index}]")
        for copied, added in zip(digits(limb), digits(carried), strict=True):
            tokens += [copied.upper(), added]
        tokens += _rows(limb, factor, carried)
        carried, low = divmod(limb * factor + carried, LIMB)
        tokens += [_name(term, at, index), *digits(low)]
        found.append(low)
    return [*found, carried], [*tokens, _name(term, at, len(limbs)), *digits(carried)]


def _rows(limb: int, factor: int, carried: int) -> Iterator[str]:
    """The rows of a product of two limbs, plus what is carried.

    What is added in a column stands eleven tokens before its sum, in every row and every column.
    """
    above = _split(carried)
    for by, row in zip(_split(factor), PLACES, strict=True):
        yield f"*{by}{row}"
        carry, line = 0, []
        for digit, old, place in zip(_split(limb), above, PLACES, strict=True):
            carry, left = divmod(digit * by + old + carry, 10)
            line.append(left)
            yield from (f"·{digit * by:02d}{place}", f"{left}{CARRIES[carry]}{place}")
        yield from (f"·00{OVER}", f"{carry}{OVER}")
        above = [*line[1:], carry]


def _summed(terms: Sequence[Term], limbs: Sequence[Sequence[int]]) -> list[str]:
    """The lines of a sum, and of its negation where it is below zero."""
    tokens: list[str] = []
    over, sums = 0, []
    for index in range(max(map(len, limbs))):
        total = over
        tokens += [f"{{S{index}}}", *digits(total % LIMB), f"~{total // LIMB}"]
        for term, found in zip(terms, limbs, strict=True):
            if index < len(found):
                tokens += [_name(term, term.last, index), *_carrying(total % LIMB, found[index], term.sign)]
                total += found[index] if term.sign == "+" else -found[index]
                tokens.append(f"~{total // LIMB}")
        over, low = divmod(total, LIMB)
        tokens += [f"{{R{index}}}", *digits(low), f"~{over}"]
        sums.append(low)
    return [*tokens, "=+"] if over >= 0 else [*tokens, "=-", *_negated(sums, over)]


def _carrying(total: int, number: int, sign: str) -> Iterator[str]:
    """A limb added or subtracted, digit by digit."""
    carry = 0
    for old, digit, place in zip(_split(total), _split(number), PLACES, strict=True):
        carry, left = divmod(old + digit + carry if sign == "+" else old - digit + carry, 10)
        yield f"{left}{CARRIED if carry else KEPT}{place}"


def _negated(limbs: Sequence[int], over: int) -> Iterator[str]:
    borrow = 0
    for index, limb in enumerate(limbs):
        yield f"{{N{index}}}"
        for old, place in zip(_split(limb), PLACES, strict=True):
            borrow, left = divmod(borrow - old, 10)
            yield f"{left}{CARRIED if borrow else KEPT}{place}"
    yield f"~{-over + borrow}"
