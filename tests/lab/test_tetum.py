import random

import pytest
from num2words import num2words  # type: ignore[import-untyped]

from orchestra.lab import tetum
from orchestra.lab.domain import is_seen


@pytest.mark.parametrize("number", range(100))
def test_numerals_are_those_of_num2words(number: int) -> None:
    assert tetum.numeral(number) == num2words(number, lang="tet")


def test_a_noun_does_not_change_what_a_numeral_is_worth() -> None:
    assert tetum.DOMAIN.value("karau tolunulu resin haat") == tetum.DOMAIN.value("tolunulu resin haat") == 34


def test_what_is_known_at_a_space_is_the_number_so_far() -> None:
    assert tetum.pieces("karau tolunulu resin haat") == (
        ("karau", None),
        (" ", None),
        ("tolunulu", None),
        (" ", 30),
        ("resin", None),
        (" ", None),
        ("haat", None),
        (" ", 34),
    )


def test_atoms_are_numerals_and_counted_things() -> None:
    atoms = [tetum.atom(random.Random(seed)) for seed in range(300)]
    nouns = [atom.split(" ")[0] in tetum.NOUNS for atom in atoms]
    assert 0 < nouns.count(False) < nouns.count(True)
    assert {tetum.DOMAIN.value(atom) for atom in atoms} <= set(range(100))


def test_bridges_may_see_a_thousand_phrases_and_more_are_left() -> None:
    phrases = {f"{noun} {tetum.numeral(number)}" for noun in tetum.NOUNS for number in range(100)}
    phrases |= {tetum.numeral(number) for number in range(100)}
    seen = sum(map(is_seen, phrases))
    assert tetum.ATOMS.startswith(f"{len(phrases):,} phrases")
    assert f"may see {seen:,} of them" in tetum.ATOMS
    assert seen >= 1000


def test_no_word_joins_or_ends_an_expression() -> None:
    assert not set("".join(tetum.NOUNS)) & set("+-=: 0123456789")
