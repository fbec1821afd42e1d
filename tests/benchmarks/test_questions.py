import json
import re

import pytest

from benchmarks.questions import FOLDER, lines
from orchestra.lab.domain import is_seen
from orchestra.lab.table import Table

NAMES = ("digits", "kv", "tetum", "python", "mixed")


@pytest.mark.parametrize("name", NAMES)
def test_the_questions_that_ship_are_those_that_the_lab_draws(name: str) -> None:
    assert (FOLDER / f"trio_{name}.jsonl").read_text(encoding="utf-8").splitlines() == lines(name)


def test_no_bridge_was_trained_on_an_atom_that_is_asked_for() -> None:
    unseen = set(Table().unseen)
    keys = {key for name in ("kv", "mixed") for line in lines(name) for key in re.findall(r"<(\w+)>", line)}
    assert len(keys) > 400
    assert keys <= unseen
    for name in ("tetum", "python"):
        atoms = [part for line in lines(name) for part in re.split(r" [-+] | =", json.loads(line)["prompt"]) if part]
        assert len(atoms) > 400
        assert not any(map(is_seen, atoms))
