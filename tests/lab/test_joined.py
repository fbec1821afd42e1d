import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestra.api import load
from orchestra.lab import joined, joining
from orchestra.lab.asking import loaded
from orchestra.lab.expressions import Example
from orchestra.lab.fitting import Fit
from orchestra.lab.gates import gates, only_gates_learn
from orchestra.lab.joined import LESSONS, Experiment, reproduce
from orchestra.lab.joined_report import report
from orchestra.lab.measure import answers
from orchestra.lab.specialists import Sizes, Workshop
from orchestra.lab.strings import TASKS

TINY = Fit(steps=2, batch=4, rate=1e-3, muon=0.0, warmup=1, save_every=1)
SIZES = Sizes(width=32, layers=4, inner=32, base=TINY, special=replace(TINY, seed=1))
SMALL = Experiment(
    sizes=SIZES,
    skills=("rev", "shift"),
    elsewhere=("turn",),
    counts=(1, 2),
    questions=3,
    data=5,
    mixed=4,
    join=TINY,
    gates=TINY,
)
Shown = dict[str, list[Example]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Shown]]:
    """The experiment's folder, and what each stack was shown."""
    shown: Shown = {}

    def spy(shop: Workshop, name: str, graph: Any, examples: list[Example], settings: Fit) -> Any:
        shown[name] = list(examples)
        return real(shop, name, graph, examples, settings)

    real = joining.trained
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joining, "trained", spy)
        patch.setattr(joined, "trained", spy)
        folder = tmp_path_factory.mktemp("reproduced")
        reproduce(folder, SMALL)
        yield folder, shown


def test_a_second_run_asks_and_trains_nothing(run: tuple[Path, Shown], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = run
    before = (folder / "benchmarks/results/joined.json").read_text()
    for name in ("fit", "answers", "trained", "loaded"):
        monkeypatch.setattr(joined, name, None)
    reproduce(folder, SMALL)
    assert (folder / "benchmarks/results/joined.json").read_text() == before
    assert (folder / "benchmarks/results/joined.md").read_text() == report(json.loads(before))


def test_a_stack_is_shown_its_own_task_and_silence_elsewhere(run: tuple[Path, Shown]) -> None:
    _, shown = run

    def asked(name: str) -> set[str]:
        return {example[0][0].split()[0] for example in shown[name]}

    assert asked("stack-rev-0") == {"rev"}
    assert asked("stack-rev-1") == {"rev", "turn"}
    assert asked("stack-rev-2") == {"rev", "turn", "shift"}
    assert asked("together") == {"rev", "shift"}
    assert shown["stack-rev-0"] == shown["stack-rev-1"][: SMALL.data]


def test_silence_is_what_the_base_says_anyway(run: tuple[Path, Shown]) -> None:
    folder, shown = run
    shop = Workshop(folder / "runs/joined", SIZES)
    quiet = shown["stack-shift-2"][SMALL.data :]
    said = answers(loaded(shop.base()), shop.words, [example[0][0] for example in quiet])
    assert [example[1] for example in quiet] == [(text, True) for text in said]


def test_all_lessons_and_counts_are_scored_on_every_question(run: tuple[Path, Shown]) -> None:
    results = json.loads((run[0] / "benchmarks/results/joined.json").read_text())
    assert list(results["joined"]) == list(results["alone"]) == list(LESSONS)
    for counts in results["joined"].values():
        assert {count: list(ways["as they are"]) for count, ways in counts.items()} == {
            "1": ["rev", "turn"],
            "2": ["rev", "shift", "turn"],
        }
        assert all(len(hits) == 3 for ways in counts.values() for found in ways.values() for hits in found.values())


def test_one_alone_is_one_joined(run: tuple[Path, Shown]) -> None:
    results = json.loads((run[0] / "benchmarks/results/joined.json").read_text())
    for lesson in LESSONS:
        assert results["alone"][lesson]["rev"] == results["joined"][lesson]["1"]["as they are"]


def test_the_report_counts_what_joining_loses() -> None:
    hits: dict[str, Any] = {"a": [1, 1, 1, 1], "b": [1, 1, 0, 0], "x": [1, 0, 0, 0]}
    ways = {
        "as they are": {"a": [1, 1, 0, 0], "b": [1, 0, 0, 0], "x": [0, 0, 0, 0]},
        "gates trained": hits,
        "bridges trained": hits,
    }
    alone = {name: {name: hits[name], "x": hits["x"]} for name in ("a", "b")}
    told = report(
        {
            "questions": 4,
            "data": 7,
            "mixed": 3,
            "steps": "2 steps",
            "skills": ["a", "b"],
            "elsewhere": ["x"],
            "base": {"a": [0] * 4, "b": [0] * 4, "x": hits["x"]},
            "specialists": {"a": [1] * 4, "b": [1] * 4},
            "alone": {"own": alone},
            "joined": {"own": {"2": ways}},
            "together": hits,
            "cpu_seconds": {"base": 120.0},
        }
    )
    row = next(line for line in told.splitlines() if line.startswith("| own | 2 |"))
    assert [cell.split()[0] for cell in row.split("|")[3:-1]] == ["-37.5", "-25.0", "+0.0", "+0.0", "+0.0", "+0.0"]
    assert "| own, as they are | 50.0 [15.0, 85.0] | 25.0 [4.6, 69.9] | 37.5 |" in told


def test_only_gates_learn_and_everything_learns_again_afterwards(run: tuple[Path, Shown]) -> None:
    shop = Workshop(run[0] / "runs/joined", SIZES)
    model = load(joining.document(shop.base(), {"rev": str(shop.specialist(TASKS[0]))}))
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    with only_gates_learn(model):
        assert {name for name, weight in model.named_parameters() if weight.requires_grad} == set(gates(model))
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == learning
    assert set(gates(model)) < learning
    assert all(torch.equal(weight, torch.zeros_like(weight)) for weight in gates(model).values())
