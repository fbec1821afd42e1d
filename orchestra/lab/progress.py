"""How far a piece of work is, on stderr: a bar where there is a terminal, else a line every minute and at the end."""

from collections.abc import Iterator, Sequence
from time import monotonic
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_Item = TypeVar("_Item")
_SECONDS = 60


class Work:
    """Shown as long as the block runs.

    Args:
        title: what is done.
        total: how many steps there are; `done`: how many of them were done before.
    """

    def __init__(self, title: str, total: int, *, done: int = 0) -> None:
        self._title, self._total = title, total
        self._console = Console(stderr=True)
        self._told = monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[extra]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total, completed=done, extra="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def at(self, step: int, *, loss: float | None = None) -> None:
        """So many steps are done."""
        extra = "" if loss is None else f"loss {loss:.3f}"
        self._bar.update(self._task, completed=step, extra=extra)
        now = monotonic()
        if not self._console.is_terminal and (step == self._total or now - self._told >= _SECONDS):
            self._console.print(f"{self._title} {step}/{self._total} {extra}".strip(), highlight=False, soft_wrap=True)
            self._told = now


def track(items: Sequence[_Item], title: str) -> Iterator[_Item]:
    """The items, one by one, with how many of them are done."""
    with Work(title, len(items)) as work:
        for number, item in enumerate(items, 1):
            yield item
            work.at(number)
