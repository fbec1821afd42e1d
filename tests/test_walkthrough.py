"""docs/walkthrough.md, followed command by command."""

import shutil
from pathlib import Path

import pytest

from tests import hubserver
from tests.followed import ROOT, Shell, run, shell, steady, steps
from tests.hubserver import Hub

__all__ = ["run", "shell"]
TEXT = (ROOT / "docs/walkthrough.md").read_text(encoding="utf-8")


def test_the_walk_through_is_what_happens(
    shell: Shell, hub: Hub, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hubserver.OWNER)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "kv"):
        shutil.copytree(ROOT / "graphs/models" / name, tmp_path / "models" / name)
    for name, content in steps(TEXT):
        if name == "Elsewhere":
            (tmp_path / "elsewhere").mkdir()
            monkeypatch.chdir(tmp_path / "elsewhere")
            hubserver.move(monkeypatch, own_cache / "elsewhere")
        elif name.startswith("$ "):
            printed = shell(name[2:]).replace(hub.endpoint, "https://huggingface.co")
            assert (name, steady(printed)) == (name, steady(content))
        else:
            Path(name).write_text(content, encoding="utf-8")
