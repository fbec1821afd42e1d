from pathlib import Path

import pytest

from orchestra.cli.demo import demo

SHIPPED = Path(__file__).parents[2] / "graphs/trio.json"


def test_the_shipped_demo_shows_its_tables_and_where_the_pictures_lie(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    demo(SHIPPED, questions=2, seed=1)
    printed = capsys.readouterr().out
    for expected in (
        *("Atoms that no bridge was trained on", "kv + tetum + python", "The drawing of the graph:"),
        "What each token of the first answer owes to each augment: build/trio-heat.png",
    ):
        assert expected in printed
    assert (tmp_path / "build/trio-heat.png").is_file()
