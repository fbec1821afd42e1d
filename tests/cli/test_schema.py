import json
from pathlib import Path

from orchestra import spec
from tests.cli.conftest import Run


def test_the_schema_is_printed(run: Run) -> None:
    done = run("schema")
    assert (done.code, json.loads(done.out)) == (0, spec.schema())


def test_the_schema_is_written_as_it_is_shipped(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "graph.schema.json"
    done = run("schema", "--output", path)
    assert (done.code, done.out) == (0, f"{path}: written.\n")
    assert path.read_text(encoding="utf-8") == spec.schema_text()
