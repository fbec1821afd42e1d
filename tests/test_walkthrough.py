"""docs/walkthrough.md, followed command by command."""

import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub.cli.hf import main as hf
from huggingface_hub.utils.tqdm import enable_progress_bars

from tests import hubserver
from tests.cli.conftest import Run, run
from tests.hubserver import Hub

__all__ = ["run"]
ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/walkthrough.md").read_text(encoding="utf-8")
BLOCKS = r"`(\S+)`[^\n`]*:\n\n```(?:json|python|yaml)\n(.*?)```|```console\n(.*?)```|^## (Elsewhere)$"
VARIES = (
    (r"\b[0-9a-f]{40}\b", "<commit>"),
    (r"(loss|off|seconds)( +│ )[\d.]+ *", r"\1\2<number>"),
    (r"│ (kv|none)( +│ )\d+ *", r"│ \1\2<answer>"),  # what so short a training answers hangs on the machine's last bits
    (r"^\d+$", "<answer>"),
    (r"( (?:composition|alone) +)[-\d., \[\]]+$", r"\1<scores>"),
)


def steps() -> Iterator[tuple[str, str]]:
    """The files and the commands of the text, in order: a name and its content, or `$ command` and what it prints."""
    for found in re.finditer(BLOCKS, TEXT, re.DOTALL | re.MULTILINE):
        name, content, console, heading = found.groups()
        if console:
            yield from re.findall(r"^(\$ .*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE)
        else:
            yield (name, content) if name else (heading, "")


def steady(text: str) -> str:
    """A text without what is another each time, and without blanks at the ends of lines."""
    for pattern, stands in VARIES:
        text = re.sub(pattern, stands, text, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


@pytest.fixture
def shell(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """What a command of the text prints, without a process of its own."""

    def printed(command: str) -> str:
        name, *arguments = shlex.split(command)
        if name == "orchestra":
            done = run(*arguments)
            assert done.code == 0, done.err
            return done.out
        if name == "head":
            lines = Path(arguments[2]).read_text(encoding="utf-8").splitlines(keepends=True)
            return "".join(lines[: int(arguments[1])])
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        if name == "hf":
            with pytest.raises(SystemExit, match="0"):
                hf()  # type: ignore[no-untyped-call]
            enable_progress_bars()  # which --quiet has switched off for good
        else:
            assert name == "python"
            runpy.run_path(arguments[0])
        return capsys.readouterr().out

    return printed


def test_the_walk_through_is_what_happens(
    shell: Callable[[str], str], hub: Hub, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hubserver.OWNER)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "kv"):
        shutil.copytree(ROOT / "graphs/models" / name, tmp_path / "models" / name)
    for name, content in steps():
        if name == "Elsewhere":
            (tmp_path / "elsewhere").mkdir()
            monkeypatch.chdir(tmp_path / "elsewhere")
            hubserver.move(monkeypatch, own_cache / "elsewhere")
        elif name.startswith("$ "):
            printed = shell(name[2:]).replace(hub.endpoint, "https://huggingface.co")
            assert (name, steady(printed)) == (name, steady(content))
        else:
            Path(name).write_text(content, encoding="utf-8")
