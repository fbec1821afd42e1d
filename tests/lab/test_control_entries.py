from pathlib import Path

import pytest

from orchestra.lab import reproduce
from orchestra.lab.control_entries import ENTRIES, of_demo
from orchestra.lab.recipe import recipes

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ships is there, and is not trained again."""
    monkeypatch.setattr(reproduce, "fit", None)


@pytest.mark.parametrize(("demo", "augment"), [("kv-small", "kv"), ("trio", "tetum")])
def test_the_controls_of_a_demo_learn_as_its_stack_did(demo: str, augment: str) -> None:
    recipe = recipes()[demo]
    (one,) = (one for one in recipe.specialists if one.name == augment)
    made = of_demo(ROOT, recipe, augment, questions=3)
    assert (made.fit, made.bridges) == (one.bridges, one.stack)
    assert made.bundle == ROOT / "bridges" / one.bundle
    assert made.vanilla_bridges == {"gate": "token", "pairs": [{"augment_layer": 5, "anchor_layer": "embedding"}]}
    assert list(made.tasks) == ["unseen", "unseen, with working", "seen"]
    assert bool(made.alone) is (augment == "kv")  # the other reads word pieces, and is not asked in them


@pytest.mark.parametrize("name", ["kv-small", "tetum"])  # the models of the others do not ship, and would be trained
def test_an_experiment_is_called_what_it_is_registered_as(name: str) -> None:
    assert ENTRIES[name](ROOT, "small").name == name
