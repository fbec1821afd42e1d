"""Words of the stories: for each meaning the English word, the Tetum one and the Spanish one.

The words were written down by hand, the common ones that every Tetum primer has; numerals of Tetum are those of
`lab.tetum`. Nobody who speaks Tetum has read the sentences that are made of them.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Language = Literal["english", "tetum", "spanish"]
LANGUAGES: tuple[Language, ...] = ("english", "tetum", "spanish")
NAMES = ("ana", "maria", "jose", "rosa", "pedro", "paulo", "luis", "ines", "domingos", "lucia", "mateus", "carlos")

_NOUNS = """
buffaloes karau búfalos | goats bibi cabras | pigs fahi cerdos | horses kuda caballos | dogs asu perros
cats busa gatos | chickens manu gallinas | fish ikan peces | rats laho ratas | deer rusa ciervos
snakes samea serpientes | monkeys lekirauk monos | crocodiles lafaek cocodrilos | birds manu-fuik pájaros
bananas hudi plátanos | coconuts nuu cocos | mangoes haas mangos | oranges sabraka naranjas
pineapples ai-nanas piñas | potatoes fehuk patatas | onions liis cebollas
eggs manutolun huevos | loaves paun panes | flowers ai-funan flores | leaves ai-tahan hojas | trees ai-hun árboles
stones fatuk piedras | books livru libros | notebooks kadernu cuadernos | pencils lapis lápices
pens kaneta bolígrafos | letters surat cartas | words liafuan palabras | songs kantiga canciones
stories istoria cuentos | chairs kadeira sillas | tables meza mesas | beds kama camas | doors odamatan puertas
windows janela ventanas | keys xave llaves | houses uma casas | shirts kamiza camisas | trousers kalsa pantalones
shoes sapatu zapatos | hats xapeu sombreros | cloths tais telas | mats biti esteras | rings kadeli anillos
plates bikan platos | bottles botir botellas | glasses kopu vasos | spoons kanuru cucharas | forks garfu tenedores
knives tudik cuchillos | pots sanan ollas | needles daun agujas | ropes tali cuerdas | candles lilin velas
axes baliu hachas | spears diman lanzas | drums babadok tambores | boats ró barcos
cars karreta coches | motorbikes motor motos | bicycles bisikleta bicicletas | balls bola pelotas
"""

_GAINS = """
buys sosa compra | finds hetan encuentra | receives simu recibe | takes foti coge | gathers hili recoge
picks ku'u cosecha | catches kaer atrapa | makes halo hace | brings lori trae | gets hola obtiene
steals na'ok roba | adds aumenta añade | wins manán gana
"""

_LOSSES = """
sells fa'an vende | loses lakon pierde | gives fó da | eats han come | throws soe tira | sends haruka envía
burns sunu quema | spoils estraga estropea | removes hasai quita | leaves husik deja | kills oho mata
hides subar esconde | destroys harahun destruye | roasts tunu asa | lends empresta presta | uses uza usa
forgets haluha olvida
"""


@dataclass(frozen=True, slots=True)
class Meaning:
    """One meaning, and its word in each language."""

    english: str
    tetum: str
    spanish: str

    def word(self, language: Language) -> str:
        """The word of a language."""
        return {"english": self.english, "tetum": self.tetum, "spanish": self.spanish}[language]


def _read(rows: str) -> tuple[Meaning, ...]:
    cells = (cell.split() for line in rows.strip().splitlines() for cell in line.split("|"))
    return tuple(Meaning(*words) for words in cells)


NOUNS, GAINS, LOSSES = _read(_NOUNS), _read(_GAINS), _read(_LOSSES)
KINDS = {
    **dict.fromkeys(NOUNS, "things"),
    **dict.fromkeys(GAINS, "more"),
    **dict.fromkeys(LOSSES, "fewer"),
}
"""What a dictionary says beside the word: that it is a thing, or that one has more or fewer of them afterwards."""

Known = Literal["both", "tetum", "spanish", "neither"]
"""In which language bridges may meet a meaning."""


def _shared_out(meanings: Sequence[Meaning], name: str) -> dict[Meaning, Known]:
    """Two fifths of the meanings to both languages, a fifth to each alone, a fifth to neither."""
    order = list(meanings)
    random.Random(name).shuffle(order)
    kinds: tuple[Known, ...] = ("both", "both", "tetum", "spanish", "neither")
    return {meaning: kinds[at % len(kinds)] for at, meaning in enumerate(order)}


KNOWN: dict[Meaning, Known] = {
    **_shared_out(NOUNS, "nouns"),
    **_shared_out(GAINS, "gains"),
    **_shared_out(LOSSES, "losses"),
}


def _half(meanings: Sequence[Meaning], name: str) -> frozenset[Meaning]:
    return frozenset(random.Random(name).sample(list(meanings), len(meanings) // 2))


ANCHORS_SPANISH = _half(NOUNS, "spanish nouns") | _half(GAINS, "spanish gains") | _half(LOSSES, "spanish losses")
"""Meanings whose Spanish word the anchor meets when it is trained."""
