"""Runs the `orchestra` command inside the test's own process."""

import sys
from dataclasses import dataclass
from typing import Protocol

import pytest

from orchestra.cli import main


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
