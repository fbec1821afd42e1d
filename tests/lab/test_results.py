import json
from pathlib import Path
from typing import Any

import pytest

from orchestra.lab import recipe, results


def record(percent: float) -> dict[str, Any]:
    return {"right": 1, "asked": 2, "guess": 1.25, "percent": percent, "interval": [percent - 1, percent + 1]}


RESULTS: dict[str, Any] = {
    "name": "two",
    "questions": 1000,
    "seed": 7,
    "values": 100,
    "atoms": {"kv": "keys"},
    "augments": {"kv": {"alone": record(99.0), "probe_percent": [1.0, 98.0], "explained": [0.1, 0.9]}},
    "matrix": {
        "answer": {
            "none": {"digits": record(90.0), "kv": record(2.0)},
            "kv": {"digits": record(89.0), "kv": record(80.0)},
        },
        "with working": {"none": {"digits": record(91.0)}, "kv": {"digits": record(92.0), "kv": record(85.0)}},
    },
}


def test_the_matrix_is_bold_where_everything_that_is_needed_is_on() -> None:
    table = results.report(RESULTS)
    assert "\n| on | digits | kv |\n" in table
    assert "\n| none | **90.0** | 2.0 |\n" in table
    assert "\n| kv | **89.0** | **80.0** |\n" in table


def test_every_mix_has_a_line_with_intervals() -> None:
    table = results.report(RESULTS | {"gates": {"digits": record(93.0), "kv": record(86.0)}})
    line = "| 80.0 [79.0, 81.0] | 80.0 [79.0, 81.0] | 85.0 [84.0, 86.0] | 86.0 [85.0, 87.0] | 1.2 |"
    assert f"\n| kv {line}\n" in table
    assert "\n| digits | 90.0 [89.0, 91.0] | 89.0 [88.0, 90.0] | 92.0 [91.0, 93.0] | 93.0 [92.0, 94.0] | 1.2 |" in table
    assert "\n| kv | keys | 99.0 [98.0, 100.0] | 1.0, 98.0 | 0.1, 0.9 |\n" in table


def test_subsets_grow_and_keep_the_order_of_the_specialists() -> None:
    trio = recipe.recipes()["trio"].specialists
    titles = [results.title(chosen, empty="none") for chosen in results.subsets(trio)]
    assert titles[:5] == ["none", "kv", "tetum", "python", "kv + tetum"]
    assert titles[-1] == "kv + tetum + python"
    assert len(titles) == 8


def test_a_column_asks_the_same_questions_whichever_augments_are_on() -> None:
    trio = recipe.recipes()["trio"].specialists
    first, again, other = (results.questions(trio[1:], 20, way="answer", seed=seed) for seed in (1, 1, 2))
    assert first == again != other


SHIPPED = Path(__file__).parents[2] / "benchmarks/results"


@pytest.mark.parametrize("name", ["kv-small", "trio"])
def test_the_committed_tables_are_those_of_the_committed_results(name: str) -> None:
    committed = json.loads((SHIPPED / f"{name}.json").read_text(encoding="utf-8"))
    assert (SHIPPED / f"{name}.md").read_text(encoding="utf-8") == results.report(committed)
