"""Numbers from 2 to 99 as the stories write them, word by word with the English of each word."""

import random
from typing import NamedTuple

from orchestra.lab import tetum
from orchestra.lab.words.lexicon import Language


class Word(NamedTuple):
    """A word of a story, and the English one for it; they are the same where there is nothing to translate."""

    text: str
    english: str


_UNITS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SPANISH = (
    *("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
    *("diez", "once", "doce", "trece", "catorce", "quince", "dieciséis", "diecisiete", "dieciocho", "diecinueve"),
    *("veinte", "veintiuno", "veintidós", "veintitrés", "veinticuatro"),
    *("veinticinco", "veintiséis", "veintisiete", "veintiocho", "veintinueve"),
)
_SPANISH_TENS = ("", "", "", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa")


def is_held_out(number: int) -> bool:
    """Whether no bridge may see a number in words: a third of those above 30 that take several words."""
    return number > 30 and number % 10 > 0 and number % 3 == 0


def numeral(rng: random.Random, number: int, language: Language) -> list[Word]:
    """A number in words. English has several ways, digits among them, and takes one of them at random."""
    if language == "english":
        return [Word(word, word) for word in _english(rng, number)]
    words = tetum.numeral(number) if language == "tetum" else spanish(number)
    return [Word(word, _GLOSSES[word]) for word in words.split(" ")]


def spanish(number: int) -> str:
    """A number from 0 to 99 in Spanish."""
    if number < 30:
        return _SPANISH[number]
    tens, units = divmod(number, 10)
    return f"{_SPANISH_TENS[tens]} y {_SPANISH[units]}" if units else _SPANISH_TENS[tens]


def _english(rng: random.Random, number: int) -> list[str]:
    """`34`, `thirty four` or `thirty and four`."""
    tens, units = divmod(number, 10)
    way = rng.random()
    if way < 0.3:
        return [str(number)]
    if way < 0.6 and tens and units:
        return [_TENS[tens], "and", _UNITS[units]]
    if tens == 1:
        return [_TEENS[units]]
    return [word for word in (_TENS[tens], _UNITS[units]) if word]


def _glosses() -> dict[str, str]:
    found = {"resin": "and", "y": "and"}
    for number in range(1, 10):
        found |= {tetum.numeral(number): _UNITS[number], tetum.numeral(10 * number): _TENS[number]}
        found |= {_SPANISH[number]: _UNITS[number], spanish(10 * number): _TENS[number]}
    found |= {_SPANISH[10 + units]: _TEENS[units] for units in range(10)}
    return found | {_SPANISH[number]: str(number) for number in range(21, 30)}


_GLOSSES = _glosses()
NUMERALS: dict[Language, tuple[str, ...]] = {
    "english": ("and", *_UNITS[1:], *_TEENS, *_TENS[2:]),
    "tetum": tuple(dict.fromkeys(word for number in range(1, 100) for word in tetum.numeral(number).split(" "))),
    "spanish": tuple(dict.fromkeys(word for number in range(1, 100) for word in spanish(number).split(" "))),
}
