import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestra.lab import tokenizer
from orchestra.lab.code import experiment, table
from orchestra.lab.code.experiment import Settings, records, reproduce
from orchestra.lab.code.functions import Function
from orchestra.lab.contest import kept, score
from orchestra.lab.contest.contest import Contest
from orchestra.lab.fitting import Fit
from orchestra.lab.models import small_llama

# peft 0.21 asks transformers 5 by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
SMALL = Settings(
    train=6,
    tune=2,
    test=4,
    epochs=1,
    batch=4,
    shots=1,
    prose=1,
    augment=Fit(steps=2, batch=2, rate=1e-3, warmup=1, save_every=1),
    width=32,
    layers=2,
    vocabulary=300,
    length=16,
    pairs=((1, 0),),
    itself=((0, 0), (1, 1)),
)
ADDED = Function(
    module="m",
    name="add",
    told="Add one and two.",
    head="def add(a, b):",
    body="    c = a + b\n    d = c\n    return d",
)


def sources() -> Iterator[tuple[str, str]]:
    """Modules of one function each."""
    for number in range(60):
        told = f"Say number {number} aloud."
        yield f"module{number}", f'def say{number}(a):\n    """{told}"""\n    a += {number}\n    return a\n'


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where the experiment has run on a small anchor, which stays in the place of the real one."""
    base: Path = tmp_path_factory.mktemp("code")
    words = tokenizer.build()
    small_llama(words, width=32, layers=2, inner=32, seed=0).save_pretrained(base / "smollm2")
    words.save_pretrained(base / "smollm2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "fetch", lambda name: None)
        patch.setattr(experiment, "folder", lambda name: base / name)
        patch.setattr(experiment, "sources", sources)
        patch.setattr(kept, "TOKENS", 8)
        patch.setattr(score, "SAMPLES", 40)
        reproduce(base, SMALL)
        yield base


def test_every_row_is_filled_in_and_written(output: Path) -> None:
    results = json.loads((output / "benchmarks/results/code.json").read_text())
    assert list(results["rows"]) == list(table.TITLES)
    assert all(
        set(row) > {"completion", "text-to-code", "code-to-text", "next line", "parses"}
        for row in results["rows"].values()
    )
    assert [name for name, row in results["rows"].items() if not row.get("tune_loss")] == ["augment"]
    assert len(results["examples"]) == 4
    assert (output / "benchmarks/results/code.md").read_text() == table.markdown(results)


def test_what_is_there_is_not_made_again(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (output / "benchmarks/results/code.json").read_text()
    monkeypatch.setattr(Contest, "_trained", None)
    monkeypatch.setattr("orchestra.lab.code.augment.fit", None)
    reproduce(output, SMALL)
    assert (output / "benchmarks/results/code.json").read_text() == before


def test_an_augment_that_learnt_otherwise_is_another_one(output: Path) -> None:
    augments = set((output / "runs/code").glob("augment-*/"))
    reproduce(output, replace(SMALL, shots=0), rows=["augment"], name="code-other")
    assert set((output / "runs/code").glob("augment-*/")) == augments
    longer = replace(SMALL, augment=replace(SMALL.augment, steps=3))
    reproduce(output, longer, rows=["augment"], name="code-other")
    assert len(set((output / "runs/code").glob("augment-*/")) - augments) == 1


def test_a_function_is_asked_for_in_three_ways() -> None:
    (complete,), (write,), (explain,) = (records(task, [ADDED]) for task in experiment.TASKS)
    assert complete.prompt == "# Add one and two.\ndef add(a, b):\n    c = a + b\n"
    assert complete.completion == "    d = c\n    return d"
    assert write.prompt + write.completion == f"# Add one and two.\n{ADDED.code}"
    assert explain.prompt + explain.completion == f"{ADDED.code}\n# Add one and two."


def test_lines_and_functions_are_counted_that_are_right() -> None:
    asked = {task: records(task, [ADDED, ADDED]) for task in experiment.TASKS}
    outputs = {
        "completion": ["\n    d = c  ", "    return"],
        "text-to-code": ["    return a +", "    return a"],
        "code-to-text": [" Add one and two.", "Nothing"],
    }
    row = table.result({"composition": {"outputs": outputs, "cpu_minutes": 1}}, [ADDED, ADDED], asked, {})["rows"][
        "composition"
    ]
    assert row["next line"]["right"] == 1
    assert row["parses"]["right"] == 1
    assert row["code-to-text"]["chrf"]["high"] == 100


def test_the_committed_table_is_that_of_its_results() -> None:
    place = Path(__file__).parents[3] / "benchmarks/results"
    assert (place / "code.md").read_text() == table.markdown(json.loads((place / "code.json").read_text()))
