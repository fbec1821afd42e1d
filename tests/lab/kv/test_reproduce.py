import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

import orchestra
from orchestra.lab.control_entries import ENTRIES
from orchestra.lab.fitting import Fit
from orchestra.lab.kv import anchor, augment, bridges, reproduce, scoring, words
from orchestra.lab.kv.entry import entry
from orchestra.lab.kv.keys import UniqueTable
from orchestra.lab.kv.report import report
from orchestra.lab.kv.settings import Settings, settings

TINY = Fit(steps=2, batch=2, rate=1e-3, warmup=1, save_every=1)
SIZE = anchor.Size(width=32, layers=1, inner=1, d_head=16)


def tiny() -> Settings:
    made = settings("small")
    stages = tuple(replace(stage, fit=TINY) for stage in made.stages)
    table = UniqueTable(size=211)
    return replace(
        made, anchor=SIZE, augment=SIZE, lessons={"learn": TINY}, stages=stages, bridges=TINY, questions=2, table=table
    )


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("reproduced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "SIZES", (3,))
        reproduce.reproduce(folder, made=tiny())
    return folder


def test_what_is_written_can_be_loaded(output: Path) -> None:
    model = orchestra.load(output / "kv/small/graph.json")
    assert str(model.plan) == "anchor embedding <- kv 0   (32 -> 32, 2 heads)"


def test_the_table_stands_beside_the_papers(output: Path) -> None:
    table = (output / "benchmarks/results/kv.md").read_text()
    results = json.loads((output / "benchmarks/results/kv.json").read_text())
    assert report(results) == table
    assert "| 92.9 | " in table
    assert table.splitlines()[8].endswith("| 84.3 |")
    assert set(results["composed"]) == {"digits", "keys", "seen keys"}


def test_the_committed_table_is_told_from_the_committed_results() -> None:
    folder = Path(__file__).parents[3] / "benchmarks/results"
    assert report(json.loads((folder / "kv.json").read_text())) == (folder / "kv.md").read_text()


def test_a_second_run_trains_nothing(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_training(*args: object, **kwargs: object) -> float:
        raise AssertionError("trained again")

    for module in (anchor, augment, bridges):
        monkeypatch.setattr(module, "fit", no_training)
    first = (output / "benchmarks/results/kv.json").read_text()
    monkeypatch.setattr(reproduce, "measure", lambda *_: json.loads(first))
    reproduce.reproduce(output, made=tiny())


def test_controls_ask_for_the_substitution_and_for_digits_whole(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SIZES", (3,))
    made = entry(output, "small", tiny(), questions=2)
    assert (made.name, list(made.tasks), list(made.known)) == (
        "kv",
        ["unseen keys", "seen keys"],
        ["digits, the whole answer"],
    )
    assert (made.fit, made.bundle) == (replace(TINY, steps=max(1, TINY.steps // 4)), None)
    assert made.encode([made.lesson(random.Random(0), 0)]).twins is not None
    model = orchestra.load(output / "kv/small/graph.json")
    assert [list(task.ask(model)) for task in (*made.tasks.values(), *made.known.values())] == [[False, False]] * 3
    assert words.build().get_vocab() == model.tokenizer.get_vocab()
    assert ENTRIES["kv"] is entry
