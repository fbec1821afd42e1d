"""What people see: a bar on a terminal, lines elsewhere, nothing of other processes."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from orchestra.train import progress
from orchestra.train.progress import ProgressBar


def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, terminal: bool, main: bool) -> str:
    """What is printed over three steps."""
    printed = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda stderr: Console(file=printed, force_terminal=terminal, width=100, color_system=None)
    )
    state = TrainerState(max_steps=3, is_world_process_zero=main)
    args, control = TrainingArguments(output_dir=str(tmp_path), use_cpu=True), TrainerControl()
    bar = ProgressBar()
    bar.on_train_begin(args, state, control)
    for step in (1, 2, 3):
        state.global_step = step
        bar.on_step_end(args, state, control)
        bar.on_log(args, state, control, {"loss": 1 / step, "learning_rate": 1.0})
    bar.on_log(args, state, control, {"train_loss": 0.25})
    bar.close()
    return printed.getvalue()


def test_without_a_terminal_a_line_is_printed_per_logged_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = "step 1/3  loss 1.0000\nstep 2/3  loss 0.5000\nstep 3/3  loss 0.3333\n"
    assert shown(monkeypatch, tmp_path, terminal=False, main=True) == lines


def test_a_terminal_has_a_bar_with_the_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = shown(monkeypatch, tmp_path, terminal=True, main=True)
    assert "loss 0.3333" in text
    assert "3/3" in text
    assert "step 1/3" not in text


@pytest.mark.parametrize("terminal", [False, True])
def test_only_the_main_process_speaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: bool) -> None:
    assert shown(monkeypatch, tmp_path, terminal=terminal, main=False) == ""
