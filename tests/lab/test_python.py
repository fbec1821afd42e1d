import random
import re

import pytest

from orchestra.lab import python

ATOMS = [python.atom(random.Random(seed)) for seed in range(3000)]


def test_atoms_are_worth_what_python_says() -> None:
    for atom in ATOMS:
        assert python.DOMAIN.value(atom) == eval(atom), atom


def test_values_are_those_that_the_anchor_can_count_with() -> None:
    assert {python.worth(atom) for atom in ATOMS} == set(range(100))


@pytest.mark.parametrize(
    "kind", [r"0x[\da-f]+", r"0x[\dA-F]+", "0o[0-7]+", "0b[01]+", r"len\(.*\)", r"ord\(.*\)", r"\[.*\]"]
)
def test_every_kind_of_atom_is_drawn(kind: str) -> None:
    assert sum(re.fullmatch(kind, atom) is not None for atom in ATOMS) > 50


def test_no_atom_ends_in_its_own_value_in_digits() -> None:
    """Read with the tokenizer's groups of three digits, from the left of a run."""
    for atom in ATOMS:
        last = re.findall(r"\d{1,3}", atom)[-1:]
        assert last != [str(python.worth(atom))], atom


def test_atoms_hold_nothing_that_joins_or_ends_expressions() -> None:
    assert not set("".join(ATOMS)) & set("+-=: ")


def test_the_value_is_known_at_the_space_after_the_atom() -> None:
    assert python.pieces("0x1f") == (("0x1f", None), (" ", 31))


def test_bridges_may_see_a_thousand_atoms() -> None:
    drawn = {python.DOMAIN.draw(random.Random(seed), True) for seed in range(2000)}
    assert len(drawn) >= 1000
