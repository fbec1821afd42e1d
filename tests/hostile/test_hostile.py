"""Hostile files: each is refused with one clear error of our own, in little memory and little time.

All are loaded in one process whose memory is bounded (`lot.py`); what came of each is told here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.lot import ALL

MOST_S, MOST_KILOBYTES, MOST_LETTERS = 5.0, 300_000, 30_000


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of every case."""
    folder = tmp_path_factory.mktemp("hostile")
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.lot", str(folder)],
        env={**os.environ, "ORCHESTRA_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    assert done.returncode == 0, (found[-1:], done.stderr[-2000:])
    return {outcome["name"]: {**outcome, "base": str(folder / "case")} for outcome in found}


@pytest.mark.parametrize("name", ALL)
def test_a_hostile_file_is_refused_in_one_clear_error_or_does_no_harm(
    outcomes: dict[str, dict[str, Any]], name: str
) -> None:
    case, outcome = ALL[name], outcomes[name]
    lines = outcome["told"].split("\n")
    assert outcome["kind"] == (case.kind.__name__ if case.kind else ""), outcome["told"][:500]
    assert outcome["told"].startswith(case.told.replace("{base}", outcome["base"])), outcome["told"][:500]
    assert all(line.isprintable() for line in lines)
    assert len(outcome["told"]) < MOST_LETTERS


@pytest.mark.parametrize("name", ALL)
def test_a_hostile_file_takes_little_time_and_memory_and_leaves_nothing_behind(
    outcomes: dict[str, dict[str, Any]], name: str
) -> None:
    outcome = outcomes[name]
    assert outcome["seconds"] < MOST_S
    assert outcome["kilobytes"] < MOST_KILOBYTES
    assert outcome["untouched"]
    assert outcome["imported"] == []


def test_nothing_that_is_named_in_a_file_was_run(outcomes: dict[str, dict[str, Any]]) -> None:
    assert not Path("sprung").exists()
    assert {name for name, outcome in outcomes.items() if not outcome["untouched"]} == set()
    assert len(outcomes) == len(ALL)
