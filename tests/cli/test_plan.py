import json
import re
from pathlib import Path

import pytest

from orchestra.cli.plan import _bytes
from tests.cli.conftest import Run
from tests.papers import graph_file, pair


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in a text."""
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in text.splitlines() if "│" in line]


def test_the_plan_says_what_runs_and_what_each_augment_adds(run: Run, tmp_path: Path) -> None:
    pairs = {"bridges": {"pairs": [pair(1, "embedding"), pair(0, 3)], "gate": "token", "heads": 1}}
    path = graph_file(tmp_path, kv=pairs, self={"model": "digits", "enabled": False, "context": "prompt"})
    done = run("plan", path)
    assert (done.code, done.err) == (0, "")
    assert rows(done.out) == [
        ["anchor", "digits", "5 of 5", "22", "3", "12 bytes"],
        ["kv", "kv", "2 of 3", "14", "3", "12 bytes"],
        ["self (off)", "digits", "5 of 5", "22", "3", "counted above"],
        ["kv", "the anchor's ids", "2", "4,694", "18.8 kB"],
        ["self", "the prompt's ids", "1", "2,509", "10.0 kB"],
        ["embedding", "kv 1", "14 -> 22", "1", "token", "rotary", "orchestra"],
        ["3", "kv 0", "14 -> 22", "1", "token", "rotary", "orchestra"],
        ["4", "self 4", "22 -> 22", "11", "scalar", "rotary", "orchestra"],
    ]


def test_the_plan_shows_who_feeds_whom_and_who_is_stopped(run: Run, tmp_path: Path) -> None:
    path = graph_file(tmp_path, kv={"into": ["tetum"]}, tetum={"enabled": False})
    told = run("plan", path).out
    assert told.endswith("Stopped, as nothing that they feed runs: kv.\n")
    found = rows(told)
    assert [row[0] for row in found[:3]] == ["anchor", "kv (stopped)", "tetum (off)"]
    assert [row[2] for row in found[3:5]] == ["tetum", "anchor"]
    assert [row[:2] for row in found[5:]] == [["tetum 6", "kv 2"], ["anchor 4", "tetum 6"]]


def test_the_plan_as_json_is_the_whole_of_it(run: Run, tmp_path: Path) -> None:
    found = json.loads(run("plan", graph_file(tmp_path), "--json").out)
    assert found["graph"]["anchor"]["facts"]["d_model"] == 22
    assert [site["anchor_layer"] for site in found["graph"]["sites"]] == [4]
    assert [(cost["augment"], cost["layers_run"], cost["bridge_bytes"]) for cost in found["costs"]] == [("kv", 3, 9300)]


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "unknown"), (999, "999 bytes"), (1000, "1.0 kB"), (10**6, "1.0 MB"), (2_340_000_000, "2.3 GB")],
)
def test_bytes_are_told_in_the_unit_that_fits(number: int | None, text: str) -> None:
    assert _bytes(number) == text
