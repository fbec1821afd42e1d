import random

import pytest

from orchestra.lab.domain import Domain, drawn_until, is_seen


def letter(rng: random.Random) -> str:
    return rng.choice("abcdefghijklmnopqrstuvwxyz")


DRAW = drawn_until(letter)


@pytest.mark.parametrize("seen", [True, False])
def test_what_bridges_may_see_and_what_they_may_not_are_drawn_apart(seen: bool) -> None:
    drawn = {DRAW(random.Random(seed), seen) for seed in range(200)}
    assert drawn == {atom for atom in "abcdefghijklmnopqrstuvwxyz" if is_seen(atom) is seen}


def test_any_atom_is_drawn_where_nothing_is_asked() -> None:
    assert len({DRAW(random.Random(seed), None) for seed in range(500)}) == 26


def test_a_fifth_of_all_atoms_may_be_seen() -> None:
    assert sum(is_seen(f"[{number}]") for number in range(10_000)) == pytest.approx(2000, abs=150)


def test_the_last_piece_that_is_worth_anything_is_worth_the_atom() -> None:
    domain = Domain(name="x", draw=DRAW, pieces=lambda atom: ((atom, 1), (" ", None), (atom, 2), (" ", None)))
    assert (domain.value("ab"), domain.until_known("ab")) == (2, "ab ab")
