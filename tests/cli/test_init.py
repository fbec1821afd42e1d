"""The frame around all commands."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import orchestra
from orchestra import cli
from orchestra.errors import OrchestraError
from tests.cli.conftest import Run

FILES = sorted(path.stem for path in Path(cli.__file__).parent.glob("*.py") if path.stem != "__init__")


def test_the_commands_are_the_modules() -> None:
    assert sorted(cli.COMMANDS) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_commands_sentence_is_that_of_its_function(name: str) -> None:
    module = find_spec(f"orchestra.cli.{name}")
    assert module is not None
    tree = ast.parse(Path(str(module.origin)).read_text(encoding="utf-8"))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    assert ast.get_docstring(function) == cli.COMMANDS[name]


def test_help_lists_every_command_and_imports_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "import_module", None)
    done = run("--help")
    assert done.code == 0
    assert re.findall(r"^  (\w+) ", done.out.split("Commands:")[1], re.MULTILINE) == list(cli.COMMANDS)


def test_the_version_is_the_packages(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.out) == (0, f"orchestra {orchestra.__version__}\n")


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    done = run()
    assert done.code == 2
    assert "Commands:" in done.out + done.err


def test_a_misspelt_command_is_answered_with_the_one_that_was_meant(run: Run) -> None:
    done = run("chek")
    assert done.code == 2
    assert "No such command 'chek'. Did you mean 'check'" in done.err


def test_an_error_of_ours_is_one_message_and_exit_1(run: Run, tmp_path: Path) -> None:
    done = run("check", tmp_path / "none.json")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"{tmp_path}/none.json: cannot be read: No such file or directory.\n"


def test_every_line_of_an_error_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OrchestraError.listing(["first", "second"])

    monkeypatch.setattr(cli, "app", broken)
    assert run().err == "first\nsecond\n"


def test_a_bug_keeps_its_traceback(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr("orchestra.paper.plan", broken)
    with pytest.raises(KeyError):
        run("check", tmp_path)
