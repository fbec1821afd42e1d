"""Runs the `orchestra` command inside the test's own process, and has a graph for it to run."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from orchestra.cli import main
from tests import folders


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Runs a command to its end."""

    def __call__(self, *arguments: object) -> Done: ...


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("check", path)` is `orchestra check path`."""
    monkeypatch.setenv("COLUMNS", "160")

    def command(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["orchestra", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Done(code=int(left.value.code or 0), out=said.out, err=said.err)

    return command


@pytest.fixture(scope="session")
def loud_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of an anchor and the augments kv and tetum, the latter off, whose bridges matter."""
    base = tmp_path_factory.mktemp("graph")
    for name, architecture, seed in (("anchor", "llama", 0), ("kv", "gpt2", 1), ("tetum", "bloom", 2)):
        folders.checkpoint(base / name, architecture, seed=seed)
    augments: dict[str, Any] = {name: {"bridges": folders.bundle(base, name).name} for name in ("kv", "tetum")}
    augments["tetum"]["enabled"] = False
    return folders.graph(base / "graph.json", folders.document(**augments))
