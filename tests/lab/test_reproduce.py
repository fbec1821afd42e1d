import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import orchestra
from orchestra.lab import recipe as recipes
from orchestra.lab import reproduce as lab
from orchestra.lab.demo import show
from orchestra.lab.fitting import Fit
from orchestra.lab.recipe import Model, Recipe, Specialist
from orchestra.lab.table import Table

TINY = Fit(steps=2, batch=4, rate=1e-3, warmup=1, save_every=1)


def tiny(model: Model) -> Model:
    stages = {name: replace(stage, fit=TINY) for name, stage in model.stages.items()}
    return replace(model, width=32, layers=2, inner=1, stages=stages)


def small(specialist: Specialist) -> Specialist:
    return replace(specialist, model=tiny(specialist.model), bridges=TINY)


SMALL = Recipe(
    name="kv-small",
    description="One.",
    anchor=tiny(recipes.anchor()),
    specialists=(small(recipes.kv(Table(size=100))),),
    questions=3,
)
TRIO = replace(
    SMALL,
    name="trio",
    specialists=(*SMALL.specialists, small(recipes.tetum_words()), small(recipes.python_atoms())),
    questions=2,
    gates=replace(TINY, muon=0.0),
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("reproduced")
    lab.reproduce(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def trio(output: Path) -> Path:
    kept = (output / "bridges/kv-small/kv/README.md", output / "graphs/models/kv/model.safetensors")
    before = [file.read_bytes() for file in kept]
    lab.reproduce(output, TRIO)
    assert [file.read_bytes() for file in kept] == before
    return output


def test_what_is_written_can_be_loaded_and_says_what_it_scores(output: Path) -> None:
    model = orchestra.load(output / "graphs/kv-small.json")
    assert str(model.plan) == "anchor embedding <- kv 1   (32 -> 32, 1 heads)"
    table = (output / "benchmarks/results/kv-small.md").read_text()
    card = (output / "bridges/kv-small/kv/README.md").read_text()
    assert "| exact match, kv, answer at once | " in card
    assert "| on | digits | kv |" in table
    assert "gates trained" not in table
    assert (output / "graphs/kv-small.svg").read_text().startswith("<svg")


def test_a_second_run_trains_nothing_and_measures_the_same(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = (output / "benchmarks/results/kv-small.json").read_text()

    def no_training(*args: object, **kwargs: object) -> float:
        raise AssertionError("trained again")

    monkeypatch.setattr(lab, "fit", no_training)
    lab.reproduce(output, SMALL)
    assert (output / "benchmarks/results/kv-small.json").read_text() == first


def test_a_larger_demo_takes_what_a_smaller_one_has_trained_and_adds_the_rest(trio: Path) -> None:
    model = orchestra.load(trio / "graphs/trio.json")
    assert model.active == ("kv", "python", "tetum")
    document = json.loads((trio / "graphs/trio.json").read_text())
    assert document["augments"]["kv"]["bridges"] == "../bridges/kv-small/kv"
    assert document["augments"]["tetum"]["bridges"] == "../bridges/trio/tetum"


@pytest.mark.parametrize("name", ["tetum", "python"])
def test_what_ships_is_what_was_trained_alone_and_not_what_the_gates_were_tried_with(trio: Path, name: str) -> None:
    bundle = load_file(trio / "bridges/trio" / name / "bridge_model.safetensors")
    trained = torch.load(trio / f"runs/{name}-bridges.pt", weights_only=True)["weights"]
    assert len(bundle) == len(trained) > 0
    for key, weight in trained.items():
        [kept] = [value for ending, value in bundle.items() if key.endswith(ending)]
        assert torch.equal(kept, weight), key


def test_the_matrix_has_all_subsets_of_augments_against_all_mixes_of_domains(trio: Path) -> None:
    results = json.loads((trio / "benchmarks/results/trio.json").read_text())
    rows = ["none", "kv", "tetum", "python", "kv + tetum", "kv + python", "tetum + python", "kv + tetum + python"]
    columns = ["digits", *rows[1:]]
    assert list(results["matrix"]["answer"]) == rows
    assert all(list(cells) == columns for cells in results["matrix"]["answer"].values())
    assert list(results["gates"]) == columns
    assert {one["alone"]["asked"] for one in results["augments"].values()} == {2}
    table = (trio / "benchmarks/results/trio.md").read_text()
    assert all(f"\n| {row} | " in table for row in rows)
    assert "| all on, gates trained on 300 mixed examples | " in table


def test_the_demo_shows_answers_accuracies_a_heat_map_and_the_drawing(
    trio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(width=250, record=True)
    show(trio / "graphs/trio.json", TRIO, asked=2, seed=1, pictures=tmp_path / "pictures", console=console)
    printed = console.export_text()
    heat = tmp_path / "pictures/trio-heat.png"
    for expected in ("anchor embedding <- kv 1", "anchor alone", "kv + tetum + python", "trio.svg", str(heat)):
        assert expected in printed
    assert heat.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    show(trio / "graphs/trio.json", TRIO, asked=1, seed=1, pictures=tmp_path, console=console)
    assert "drawing it needs matplotlib: pip install 'orchestra-lm[plot]'." in console.export_text()


def test_a_demo_without_its_graph_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(orchestra.ModelError, match=r"no-such\.json: run this in a clone"):
        show(tmp_path / "no-such.json", TRIO, asked=1, seed=1)
