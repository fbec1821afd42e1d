"""Sentences of the stories with slots. A word of another language has its English after the slash.

Of each kind the sentences after `|` are held out: no bridge sees them, and the anchor sees only the English ones.
"""

from dataclasses import dataclass
from typing import Literal

from orchestra.lab.words.lexicon import Language
from orchestra.lab.words.numerals import Word

Kind = Literal["has", "boxes", "event", "other", "ask"]
Pattern = tuple[Word, ...]
"""Words and slots; a slot is a name in braces, its own English."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """The sentences of one kind: those that bridges may see, and the others."""

    seen: tuple[Pattern, ...]
    held_out: tuple[Pattern, ...]


_ENGLISH = {
    "has": """
        {name} has {n} {noun} . ; {name} keeps {n} {noun} in the house . ; there are {n} {noun} in the house of {name} .
        yesterday {name} has {n} {noun} . ; at first {name} has {n} {noun} . ; this morning {name} has {noun} {n} .
        on the table of {name} are {noun} {n} . ; {name} starts with {n} {noun} .
    """,
    "boxes": """
        {name} has {k} boxes with {n} {noun} each . ; {name} has boxes {k} . each boxes has {noun} {n} .
        there are {k} boxes in the house of {name} . in each boxes are {n} {noun} .
        {name} has {k} boxes . in each are {n} {noun} . ; {name} keeps {k} boxes and each boxes has {n} {noun} .
    """,
    "event": """
        then {name} {verb} {n} {noun} . ; after that he {verb} {n} {noun} . ; then she {verb} {noun} {n} .
        today {name} {verb} {n} {noun} . ; in the morning she {verb} {n} {noun} . ; {name} also {verb} {noun} {n} .
        at the market {name} {verb} {n} {noun} . ; at night he {verb} {n} {noun} . ; later he {verb} {n} of the {noun} .
    """,
    "other": """
        {name} also has {m} {other} . ; he has {other} {m} also . ; there are also {m} {other} .
        {other} {m} also are in the house . ; and she has {m} {other} .
    """,
    "ask": """
        how many {noun} has {name} now ? ; how many {noun} are with {name} now ? ; {noun} how many has {name} now ?
        now {name} has how many {noun} ? ; how many {noun} has she at the end ? ; at the end he has {noun} how many ?
    """,
}

_TETUM = {
    "has": """
        {name} iha/has {noun} {n} . ; iha/in uma-laran/house {name} iha/has {noun} {n} .
        horiseik/yesterday {name} iha/has {noun} {n} . ; iha/on meza-leten/table {name} iha/has {noun} {n} .
        | uluk/first {name} iha/has {noun} {n} . ; {name} rai/keeps {noun} {n} .
    """,
    "boxes": """
        {name} iha/has kaixa/boxes {k} . kada/each kaixa/boxes iha/has {noun} {n} .
        iha/in uma-laran/house {name} iha/has kaixa/boxes {k} . kada/each kaixa/boxes iha/has {noun} {n} .
        | {name} rai/keeps kaixa/boxes {k} no/and kada/each kaixa/boxes iha/has {noun} {n} .
    """,
    "event": """
        depois/then nia/he {verb} {noun} {n} . ; ohin/today {name} {verb} {noun} {n} .
        {name} mós/also {verb} {noun} {n} .
        iha/in dadeer/morning nia/he {verb} {noun} {n} .
        | iha/at merkadu/market {name} {verb} {noun} {n} . ; kalan/night nia/he {verb} {noun} {n} .
    """,
    "other": """
        {name} mós/also iha/has {other} {m} . ; nia/he iha/has {other} {m} mós/also .
        | no/and nia/he iha/has {other} {m} .
    """,
    "ask": """
        {noun} hira/many mak/are {name} iha/has agora/now ? ; agora/now {name} iha/has {noun} hira/many ?
        | ikusmai/end {name} iha/has {noun} hira/many ?
    """,
}

_SPANISH = {
    "has": """
        {name} tiene/has {n} {noun} . ; en/in casa/house {name} guarda/keeps {n} {noun} .
        ayer/yesterday {name} tiene/has {n} {noun} . ; en/on la/the mesa/table de/of {name} hay/are {n} {noun} .
        | primero/first {name} tiene/has {n} {noun} . ; {name} empieza/starts con/with {n} {noun} .
    """,
    "boxes": """
        {name} tiene/has {k} cajas/boxes . en/in cada/each caja/boxes hay/are {n} {noun} .
        {name} tiene/has {k} cajas/boxes con/with {n} {noun} cada/each una/each .
        | {name} guarda/keeps {k} cajas/boxes y/and cada/each caja/boxes tiene/has {n} {noun} .
    """,
    "event": """
        luego/then {name} {verb} {n} {noun} . ; después/then él/he {verb} {n} {noun} .
        hoy/today {name} {verb} {n} {noun} . ; por/in la/the mañana/morning ella/she {verb} {n} {noun} .
        | en/at el/the mercado/market {name} {verb} {n} {noun} . ; también/also {verb} {n} de/of los/the {noun} .
    """,
    "other": """
        {name} también/also tiene/has {m} {other} . ; ella/she tiene/has {m} {other} también/also .
        | y/and hay/are {m} {other} también/also .
    """,
    "ask": """
        cuántos/many {noun} tiene/has {name} ahora/now ? ; ahora/now cuántos/many {noun} tiene/has {name} ?
        | al/at final/end cuántos/many {noun} tiene/has {name} ?
    """,
}


def _pattern(text: str) -> Pattern:
    halves = (word.partition("/") for word in text.split())
    return tuple(Word(own, english or own) for own, _, english in halves)


def _patterns(text: str) -> tuple[Pattern, ...]:
    rows = (part for line in text.strip().splitlines() for part in line.split(" ; "))
    return tuple(_pattern(row) for row in rows if row.strip())


def _phrases(text: str) -> Phrases:
    seen, _, held_out = text.partition("|")
    return Phrases(_patterns(seen), _patterns(held_out))


PHRASES: dict[Language, dict[str, Phrases]] = {
    "english": {kind: _phrases(text) for kind, text in _ENGLISH.items()},
    "tetum": {kind: _phrases(text) for kind, text in _TETUM.items()},
    "spanish": {kind: _phrases(text) for kind, text in _SPANISH.items()},
}
