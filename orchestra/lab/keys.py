"""The keys of a private table as a specialist's domain: `<kqz>`, known at its closing bracket."""

import random

from orchestra.lab.domain import Domain, Piece
from orchestra.lab.table import Table


def domain(table: Table) -> Domain:
    """The keys of a table; which of them bridges may see is the table's to say."""

    def draw(rng: random.Random, seen: bool | None) -> str:
        return f"<{rng.choice(table.everything if seen is None else table.seen if seen else table.unseen)}>"

    def pieces(atom: str) -> tuple[Piece, ...]:
        return (atom[:-1], None), (">", table.values[atom[1:-1]]), (" ", None)

    return Domain(name="kv", draw=draw, pieces=pieces)
