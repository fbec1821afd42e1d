"""What people see of a training, on stderr: a bar where there is a terminal, else a line now and then."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ProgressBar(TrainerCallback):
    """Shows steps, loss, and the time that remains."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._text = "training"
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(self._text)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar where the training starts or continues."""
        if state.is_world_process_zero:
            self._bar.start()
        self._bar.update(self._task, total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Advance."""
        self._bar.update(self._task, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the losses."""
        shown = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items() if name.endswith("loss"))
        if not shown or "train_loss" in (logs or {}) or not state.is_world_process_zero:
            return
        self._bar.update(self._task, description=shown)
        if not self._console.is_terminal:
            self._console.print(f"step {state.global_step}/{state.max_steps}  {shown}", highlight=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()


def tell(text: str) -> None:
    """Say on stderr how far something is that comes before the first step."""
    Console(stderr=True).print(text, highlight=False, soft_wrap=True)
