import json
from pathlib import Path
from typing import Any

import pytest

from orchestra.cli.reproduce import Demo, reproduce
from orchestra.lab import kv_small

RESULTS = json.loads((Path(__file__).parents[2] / "benchmarks/results/kv-small.json").read_text())


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where each reproduction was told to write; nothing is trained."""
    outputs: list[Path] = []

    def instead(output: Path) -> dict[str, Any]:
        outputs.append(output)
        return dict(RESULTS)

    monkeypatch.setattr(kv_small, "reproduce", instead)
    return outputs


def test_the_table_is_printed(told: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    reproduce(Demo.KV_SMALL, output=Path("elsewhere"))
    assert "| composition: keys no bridge saw |" in capsys.readouterr().out
    assert told == [Path("elsewhere")]


def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    reproduce(Demo.KV_SMALL, json=True)
    assert json.loads(capsys.readouterr().out) == RESULTS
