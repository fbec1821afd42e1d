"""docs/guide.md, followed command by command."""

import shutil
from pathlib import Path

import pytest

from tests.followed import ROOT, Shell, run, shell, steady, steps

__all__ = ["run", "shell"]
TEXT = (ROOT / "docs/guide.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_guide_is_what_happens(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "kv"):
        shutil.copytree(ROOT / "graphs/models" / name, tmp_path / "models" / name)
    for name, content in steps(TEXT):
        if name.startswith("$ "):
            assert (name, steady(shell(name[2:]))) == (name, steady(content))
        else:
            Path(name).write_text(content, encoding="utf-8")
    assert Path("heat.png").stat().st_size > 10_000
    assert "kv" in Path("duo.html").read_text(encoding="utf-8")
