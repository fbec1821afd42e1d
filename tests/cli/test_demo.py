from pathlib import Path

import pytest

from orchestra.cli.demo import demo

SHIPPED = Path(__file__).parents[2] / "graphs/kv-small.json"


def test_the_shipped_demo_shows_its_tables_and_where_the_drawing_lies(capsys: pytest.CaptureFixture[str]) -> None:
    demo(SHIPPED, questions=2, seed=1)
    printed = capsys.readouterr().out
    for expected in ("Keys that no bridge was trained on", "augment off", "The drawing of the graph:"):
        assert expected in printed
