from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from orchestra.eval.result import Evaluation, Score
from orchestra.eval.settings import Setting
from orchestra.eval.table import grid, markdown
from orchestra.intervals import Interval

FULL, ALONE = Setting(name="full composition", on=("kv",)), Setting(name="anchor alone", on=())


def around(value: float) -> Interval:
    return Interval(value=value, low=value - 0.1, high=value + 0.1)


def score(setting: Setting, task: str, value: float, difference: float | None, *, better: bool | None = True) -> Score:
    return Score(
        task=task,
        metric="acc",
        setting=setting.name,
        on=setting.on,
        records=1234,
        higher_is_better=better,
        score=around(value),
        difference=None
        if difference is None
        else Interval(value=difference, low=difference - 0.1, high=difference + 0.1),
    )


FOUND = Evaluation(
    settings=(FULL, ALONE),
    scores=(
        score(FULL, "one|two", 0.5, None),
        score(ALONE, "one|two", 0.25, -0.25),
        score(FULL, "other", 46.1, None, better=False),
        score(ALONE, "other", 37.0, -9.1, better=False),
    ),
)


def test_the_markdown_has_a_row_for_each_score_and_its_difference() -> None:
    assert markdown(FOUND) == (
        "| task | augments on | score [95%] | minus the full's [95%] |\n"
        "| --- | --- | --- | --- |\n"
        "| one\\|two: acc \u2191, n = 1,234 | full composition | 0.500 [0.400, 0.600] |  |\n"
        "|  | anchor alone | 0.250 [0.150, 0.350] | -0.250 [-0.350, -0.150] |\n"
        "| other: acc \u2193, n = 1,234 | full composition | 46.1 [46.0, 46.2] |  |\n"
        "|  | anchor alone | 37.0 [36.9, 37.1] | -9.1 [-9.2, -9.0] |\n"
    )


def test_one_setting_has_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    alone = replace(FOUND, settings=(FULL,), scores=FOUND.scores[:1])
    assert markdown(alone) == (
        "| task | augments on | score [95%] |\n| --- | --- | --- |\n"
        "| one\\|two: acc \u2191, n = 1,234 | full composition | 0.500 [0.400, 0.600] |\n"
    )
    Console(width=80).print(grid(alone))
    said = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert said == ["Scores [95%]", "one|two: acc \u2191, n = 1,234", "full composition  0.500 [0.400, 0.600]"]


def test_a_metric_of_which_nobody_knows_the_better_end_has_no_arrow() -> None:
    unknown = replace(FOUND, settings=(FULL,), scores=(score(FULL, "one", 0.5, None, better=None),))
    assert "| one: acc, n = 1,234 |" in markdown(unknown)


def test_the_terminals_table_says_the_same_within_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=80).print(grid(FOUND))
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert said == [
        "Scores, and minus that of the full composition, [95%]",
        "one|two: acc \u2191, n = 1,234",
        "full composition 0.500 [0.400, 0.600]",
        "anchor alone 0.250 [0.150, 0.350] -0.250 [-0.350, -0.150]",
        "other: acc \u2193, n = 1,234",
        "full composition 46.1 [46.0, 46.2]",
        "anchor alone 37.0 [36.9, 37.1] -9.1 [-9.2, -9.0]",
    ]


def test_the_record_is_json_values() -> None:
    found: Any = FOUND.record()
    assert found["settings"][1] == {"name": "anchor alone", "on": ()}
    assert found["scores"][1]["difference"] == {"value": -0.25, "low": -0.35, "high": -0.15}
