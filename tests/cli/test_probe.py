import json
from pathlib import Path

import pytest

import orchestra
from tests.cli.conftest import Run

TEXT = "w5 w7 w11"


def test_what_each_bridge_adds_is_a_row_per_bridge(run: Run, loud_graph: Path) -> None:
    done = run("probe", loud_graph, "--text", TEXT)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{orchestra.load(loud_graph).contributions(TEXT)}\n"
    assert len(done.out.splitlines()) == 1 + 3


def test_gates_and_shares_as_json_are_numbers_per_token(run: Run, loud_graph: Path) -> None:
    found = json.loads(run("probe", loud_graph, "--text", TEXT, "--json").out)
    assert found["tokens"] == TEXT.split()
    assert [bridge["anchor_layer"] for bridge in found["bridges"]] == ["embedding", 0, 1]
    first = orchestra.load(loud_graph).contributions(TEXT).bridges[0]
    assert found["bridges"][0]["share"] == pytest.approx(first.share)
    assert found["bridges"][0]["gate"] == pytest.approx(first.gate)
