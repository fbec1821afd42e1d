"""Number words of Tetum, a language of East Timor: numerals from 0 to 99, alone or after the noun that they count.

The spelling is that of num2words, with which the tests compare every numeral.
"""

import random

from orchestra.lab.domain import Domain, Piece, drawn_until, is_seen

_UNITS = ("mamuk", "ida", "rua", "tolu", "haat", "lima", "neen", "hitu", "ualu", "sia")
_TENS = ("", "sanulu", *(f"{unit.removesuffix('n')}nulu" for unit in _UNITS[2:]))

# fmt: off
NOUNS = (
    "alin", "aman", "asu", "batar", "bee", "bibi", "bikan", "botir", "busa", "doutor", "ema", "eskola",
    "estudante", "fahi", "fatuk", "feto", "foho", "foos", "fulan", "hudi", "igreja", "ikan", "inan", "istoria",
    "kadeira", "kalsa", "kama", "kamiza", "kantiga", "kanuru", "karau", "karreta", "klase", "knua", "kopu", "kuda",
    "labarik", "laho", "lapis", "liafuan", "liman", "livru", "loja", "loron", "mane", "manu", "masin", "matan",
    "maun", "merkadu", "mestre", "meza", "minutu", "modo", "mota", "motor", "nuu", "odamatan", "oras", "osan",
    "paun", "rai", "sanan", "sapatu", "semana", "suku", "surat", "tasi", "tinan", "tudik", "uma",
)
# fmt: on


def numeral(number: int) -> str:
    """A number from 0 to 99 in words: `34` is `tolunulu resin haat`."""
    tens, units = divmod(number, 10)
    if not tens:
        return _UNITS[units]
    return _TENS[tens] if not units else f"{_TENS[tens]} resin {_UNITS[units]}"


_NUMBERS = {numeral(number): number for number in range(100)}


def atom(rng: random.Random) -> str:
    """A numeral, most often after a noun: `karau tolunulu resin haat`, 34 buffaloes."""
    words = numeral(rng.randrange(100))
    return words if rng.random() < 0.2 else f"{rng.choice(NOUNS)} {words}"


def pieces(atom: str) -> tuple[Piece, ...]:
    """Words and the spaces after them; at a space, the number that the words before it make."""
    found: list[Piece] = []
    numerals: list[str] = []
    for word in atom.split(" "):
        numerals = [] if word in NOUNS else [*numerals, word]
        found += [(word, None), (" ", _NUMBERS.get(" ".join(numerals)))]
    return tuple(found)


_SEEN = sum(is_seen(f"{noun} {numeral(number)}".strip()) for noun in ("", *NOUNS) for number in range(100))
ATOMS = f"{100 * (1 + len(NOUNS)):,} phrases, numerals with and without a noun; bridges may see {_SEEN:,} of them"
DOMAIN = Domain(name="tetum", draw=drawn_until(atom), pieces=pieces)
