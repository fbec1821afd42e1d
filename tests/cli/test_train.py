"""`orchestra train`, as it is typed."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestra.cli import app
from orchestra.errors import DataError
from orchestra.train.trainer import BridgeTrainer
from tests.train.conftest import records, write_graph

OPTIONS = "--steps 3 --batch-size 4 --learning-rate 1e-2 --log-every 1"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_graph(tmp_path_factory.mktemp("graph"))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records()), encoding="utf-8")
    return path


def typed(graph: Path, data: Path, options: str) -> Result:
    return CliRunner().invoke(app, ["train", str(graph), "--data", str(data), *OPTIONS.split(), *options.split()])


def test_a_table_says_what_came_of_it(graph: Path, data: Path) -> None:
    result = typed(graph, data, f"--augment kv --eval-data {data}")
    assert result.exit_code == 0, result.output
    for row in ("bundle of kv", "runs/graph/kv", "training loss", "evaluation loss", "trained augments off", "2,554"):
        assert row in result.stdout
    assert (data.parent / "runs" / "graph" / "kv" / "bridge_model.safetensors").is_file()
    assert not (data.parent / "runs" / "graph" / "tetum").exists()
    assert "resumed at 3" in typed(graph, data, "--augment kv").stdout


def test_json_is_for_programs(graph: Path, data: Path) -> None:
    result = typed(graph, data, "--augment kv --augment tetum --json --output out --bf16 --no-resume")
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["bundles"] == {"kv": "out/kv", "tetum": "out/tetum"}
    assert list(found["losses"]) == ["1", "2", "3"]
    assert (found["steps"], found["resumed_from"], found["eval_loss"]) == (3, None, None)
    assert json.loads((data.parent / "out" / "kv" / "bridge_config.json").read_text())["recipe"]["bf16"] is True


def test_ctrl_c_is_one_line_and_exit_130(graph: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = BridgeTrainer.training_step

    def interrupted(self: Any, *args: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return original(self, *args)

    monkeypatch.setattr(BridgeTrainer, "training_step", interrupted)
    result = typed(graph, data, "--augment kv")
    assert result.exit_code == 130
    assert result.stderr.endswith("stopped after step 1 of 3; the same command goes on from there.\n")
    assert result.stdout == ""


def test_a_malformed_record_is_named(graph: Path, data: Path) -> None:
    data.write_text('{"prompt": "a"}\n')
    result = typed(graph, data, "")
    message = f"{data}: line 1: 'completion' is missing; a record is {{'prompt', 'completion'}} or {{'text'}}."
    assert isinstance(result.exception, DataError)
    assert re.fullmatch(re.escape(message), str(result.exception))
