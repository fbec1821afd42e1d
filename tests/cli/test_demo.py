from pathlib import Path

import pytest

from orchestra.cli.demo import demo

SHIPPED = Path(__file__).parents[2] / "graphs/trio.json"


def test_the_shipped_demo_shows_its_tables_and_where_the_drawing_lies(capsys: pytest.CaptureFixture[str]) -> None:
    demo(SHIPPED, questions=2, seed=1)
    printed = capsys.readouterr().out
    for expected in ("Atoms that no bridge was trained on", "kv + tetum + python", "The drawing of the graph:"):
        assert expected in printed
