import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from orchestra.cli.reproduce import reproduce
from orchestra.lab import controls, joined, merging
from orchestra.lab import reproduce as lab
from orchestra.lab.control_entries import ENTRIES
from orchestra.lab.experiments import Scale, experiments
from orchestra.lab.recipe import Recipe, recipes
from orchestra.lab.words import scores as words
from orchestra.lab.words import settings as words_settings

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
    reproduce("trio", output=Path("elsewhere"))
    assert "| kv + tetum + python |" in capsys.readouterr().out
    assert told == [(Path("elsewhere"), "trio")]


def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    reproduce("kv-small", json=True)
    assert json.loads(capsys.readouterr().out) == RESULTS


def test_every_recipe_can_be_asked_for() -> None:
    assert set(recipes()) < set(experiments())


@pytest.mark.parametrize(("module", "name"), [(merging, "merging"), (joined, "joined"), (words, "words")])
def test_an_experiment_prints_the_table_that_is_committed(
    module: Any, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = json.loads((RESULTS_FOLDER / f"{name}.json").read_text())
    asked: list[Path] = []

    def instead(output: Path, *_: Any, **__: Any) -> dict[str, Any]:
        asked.append(output)
        return dict(results)

    monkeypatch.setattr(module, "reproduce", instead)
    reproduce(name, output=Path("elsewhere"))
    assert asked == [Path("elsewhere")]
    assert capsys.readouterr().out.strip() == (RESULTS_FOLDER / f"{name}.md").read_text().strip()


def test_what_is_no_experiment_is_refused_with_those_that_are() -> None:
    with pytest.raises(typer.BadParameter, match="'trios' is no experiment; known are kv-small, trio, kv, merging, "):
        reproduce("trios")


def test_a_scale_that_an_experiment_does_not_have_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="trio has only small"):
        reproduce("trio", scale=Scale.LARGE)


@pytest.mark.parametrize(
    ("name", "module", "large"), [("joined", joined, joined.LARGE), ("words", words, words_settings.LARGE)]
)
def test_scales_stand_side_by_side(name: str, module: Any, large: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, str]] = []

    def instead(_output: Path, settings: Any, *, name: str) -> dict[str, Any]:
        asked.append((settings, name))
        return {}

    monkeypatch.setattr(module, "reproduce", instead)
    for scale in Scale:
        experiments()[name].run(Path("elsewhere"), scale)
    assert asked == [(type(large)(), name), (large, f"{name}-large")]


def test_of_the_controls_those_that_are_named_are_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[list[str], str]] = []

    def instead(output: Path, entries: dict[str, Any], *, scale: str) -> dict[str, Any]:
        asked.append((list(entries), scale))
        return {}

    monkeypatch.setattr(controls, "reproduce", instead)
    reproduce("controls")
    reproduce("controls", only=["tetum"], scale=Scale.LARGE)
    assert asked == [(list(ENTRIES), "small"), (["tetum"], "large")]
    assert "| CALM, table 5 |" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["translation", "code"])
def test_of_a_contest_those_rows_are_filled_in_that_are_named(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, table = (import_module(f"orchestra.lab.{name}.{part}") for part in ("experiment", "table"))
    results = json.loads((RESULTS_FOLDER / f"{name}.json").read_text())
    asked: list[tuple[Any, tuple[str, ...], str]] = []

    def instead(output: Path, settings: Any, *, rows: tuple[str, ...], name: str) -> dict[str, Any]:
        asked.append((settings, rows, name))
        return dict(results)

    monkeypatch.setattr(module, "reproduce", instead)
    reproduce(name)
    reproduce(name, only=["lora", "prompt only"], scale=Scale.LARGE)
    large = [(module.LARGE, (row,), f"{name}-large") for row in ("lora", "prompt only")]
    assert asked == [(module.Settings(), (), name), *large]
    assert capsys.readouterr().out.startswith(table.markdown(results))
    assert set(experiments()[name].parts) < set(table.TITLES)


def test_a_part_that_there_is_not_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match=r"'tetun' is no part of controls, which has only kv-small, tetum"):
        reproduce("controls", only=["tetun"])
    with pytest.raises(typer.BadParameter, match=r"'kv' is no part of trio, which has no parts"):
        reproduce("trio", only=["kv"])
