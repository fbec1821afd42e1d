"""What a specialist knows: atoms, each of which is worth a number, and how they stand in text."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

Piece = tuple[str, int | None]
"""A piece of text, and the number that is known once it has been read to its end; `None` where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A kind of atoms.

    Attributes:
        draw: an atom that bridges may see in training (True), may not (False), or any (None).
        pieces: an atom as it stands in spaced text, in pieces; the last that is worth anything is worth the atom.
    """

    name: str
    draw: Callable[[random.Random, bool | None], str]
    pieces: Callable[[str], tuple[Piece, ...]]

    def value(self, atom: str) -> int:
        """What an atom is worth."""
        return [value for _, value in self.pieces(atom) if value is not None][-1]

    def until_known(self, atom: str) -> str:
        """An atom as text, up to where its value is known."""
        pieces = self.pieces(atom)
        last = max(at for at, (_, value) in enumerate(pieces) if value is not None)
        return "".join(text for text, _ in pieces[: last + 1])


def drawn_until(atom: Callable[[random.Random], str]) -> Callable[[random.Random, bool | None], str]:
    """Draws atoms until one may, or may not, be seen."""

    def draw(rng: random.Random, seen: bool | None) -> str:
        while True:
            found = atom(rng)
            if seen is None or is_seen(found) is seen:
                return found

    return draw


def is_seen(atom: str) -> bool:
    """Whether bridges may see an atom in training: a fifth of all, decided by its text alone."""
    return crc32(atom.encode()) % 5 == 0
