import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestra.cli.reproduce import Demo, reproduce
from orchestra.errors import TrainError
from orchestra.lab import controls, merging
from orchestra.lab import reproduce as lab
from orchestra.lab.controlled import EXPERIMENTS
from orchestra.lab.recipe import Recipe, recipes

RESULTS_FOLDER = Path(__file__).parents[2] / "benchmarks/results"
RESULTS = json.loads((RESULTS_FOLDER / "trio.json").read_text())


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """What each reproduction was told to do; nothing is trained."""
    asked: list[tuple[Path, str]] = []

    def instead(output: Path, recipe: Recipe) -> dict[str, Any]:
        asked.append((output, recipe.name))
        return dict(RESULTS)

    monkeypatch.setattr(lab, "reproduce", instead)
    return asked


def test_the_table_is_printed(told: list[tuple[Path, str]], capsys: pytest.CaptureFixture[str]) -> None:
    reproduce(Demo.TRIO, output=Path("elsewhere"))
    assert "| kv + tetum + python |" in capsys.readouterr().out
    assert told == [(Path("elsewhere"), "trio")]


def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    reproduce(Demo.KV_SMALL, json=True)
    assert json.loads(capsys.readouterr().out) == RESULTS


def test_every_recipe_can_be_asked_for() -> None:
    assert {demo.value for demo in Demo} == {*recipes(), "merging", "controls"}


def test_the_experiment_with_merges_prints_its_own_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = json.loads((RESULTS_FOLDER / "merging.json").read_text())
    asked: list[Path] = []

    def instead(output: Path) -> dict[str, Any]:
        asked.append(output)
        return dict(results)

    monkeypatch.setattr(merging, "reproduce", instead)
    reproduce(Demo.MERGING, output=Path("elsewhere"))
    assert asked == [Path("elsewhere")]
    assert capsys.readouterr().out.strip() == (RESULTS_FOLDER / "merging.md").read_text().strip()


def test_of_the_controls_those_that_are_named_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def instead(output: Path, experiments: dict[str, Any]) -> dict[str, Any]:
        asked.append(list(experiments))
        return {}

    monkeypatch.setattr(controls, "reproduce", instead)
    reproduce(Demo.CONTROLS)
    reproduce(Demo.CONTROLS, only=["tetum"])
    assert asked == [list(EXPERIMENTS), ["tetum"]]
    message = f"no experiment with controls is called 'tetun'; there are {', '.join(EXPERIMENTS)}."
    with pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
        reproduce(Demo.CONTROLS, only=["tetun"])
