from pathlib import Path

import pytest
from rich.console import Console

import orchestra
from orchestra.lab import kv_demo, kv_small
from orchestra.lab.fitting import Fit
from orchestra.lab.kv_results import report
from orchestra.lab.table import Table

TINY = Fit(steps=2, batch=4, rate=1e-3, warmup=1, save_every=1)
RECIPE = kv_small.Recipe(
    table=Table(size=100),
    anchor=TINY,
    anchor_width=32,
    anchor_layers=2,
    augment=TINY,
    polish=TINY,
    augment_width=32,
    augment_layers=2,
    bridges=TINY,
    questions=3,
)


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output: Path = tmp_path_factory.mktemp("reproduced")
    kv_small.reproduce(output, RECIPE)
    return output


def test_what_is_written_can_be_loaded_and_says_what_it_scores(reproduced: Path) -> None:
    model = orchestra.load(reproduced / "graphs/kv-small.json")
    assert str(model.plan) == "anchor embedding <- kv 1   (32 -> 32, 1 heads)"
    table = (reproduced / "benchmarks/results/kv-small.md").read_text()
    card = (reproduced / "bridges/kv-small/kv/README.md").read_text()
    assert "| composition: keys no bridge saw (with working) | " in card
    assert "| composition: keys no bridge saw |" in table
    assert (reproduced / "graphs/kv-small.svg").read_text().startswith("<svg")


def test_a_second_run_trains_nothing_and_measures_the_same(reproduced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = (reproduced / "benchmarks/results/kv-small.json").read_text()

    def no_training(*args: object, **kwargs: object) -> float:
        raise AssertionError("trained again")

    monkeypatch.setattr(kv_small, "fit", no_training)
    kv_small.reproduce(reproduced, RECIPE)
    assert (reproduced / "benchmarks/results/kv-small.json").read_text() == first


def test_the_report_has_a_row_for_every_line_of_the_results() -> None:
    record = {"right": 1, "asked": 2, "guess": 50.0, "percent": 50.0, "interval": [9.45, 90.55]}
    results = {
        "questions": 2,
        "seed": 0,
        "keys": 25_000,
        "keys_seen_by_bridges": 5_000,
        "values": 100,
        "rows": {"one": {"answer": record}, "two": {"answer": record, "with working": record}},
        "probe_percent_by_augment_layer": [1.0, 99.0],
    }
    table = report(results)
    assert "| one | 50.0 [9.4, 90.5] |  | 50.0 |" in table
    assert "| two | 50.0 [9.4, 90.5] | 50.0 [9.4, 90.5] | 50.0 |" in table
    assert "layer 0: 1.0, layer 1: 99.0" in table


def test_the_demo_shows_answers_accuracies_and_the_drawing(reproduced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_demo, "Table", lambda: RECIPE.table)
    console = Console(width=200, record=True)
    kv_demo.show(reproduced / "graphs/kv-small.json", questions=2, seed=1, console=console)
    printed = console.export_text()
    for expected in ("anchor embedding <- kv 1", "anchor alone", "augment off", "kv-small.svg"):
        assert expected in printed


def test_a_demo_without_its_graph_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(orchestra.ModelError, match=r"no-such\.json: run this in a clone"):
        kv_demo.show(tmp_path / "no-such.json", questions=1, seed=1)
