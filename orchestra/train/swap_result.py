"""What came of a comparison: rows with intervals, for programs and in Markdown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestra.intervals import Interval, gain, mean
from orchestra.train.held_out import Scores

HEADINGS = ("", "trained", "loss per token", "above the original's", "exact, %", "below the original's")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A composition, and how it scores on what is held out.

    Attributes:
        graph: what loads it; None of what the user has already.
        trained: how many parameters its stack has.
        loss: nats per token of completions.
        exact: the share of prompts that greedy decoding completes as their records do; None where none has a prompt.
        loss_above, exact_below: how much worse than the original's, paired over the records; None of the original.
    """

    name: str
    graph: Path | None
    trained: int
    loss: Interval
    exact: Interval | None
    loss_above: Interval | None = None
    exact_below: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapResult:
    """What came of a comparison.

    Attributes:
        notes: what a reader must know: what is held out, within which budget, and which original it is.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [asdict(row) | {"graph": None if row.graph is None else str(row.graph)} for row in self.rows]
        return {"rows": rows, "notes": list(self.notes)}

    def markdown(self) -> str:
        """As a table, with the notes below it."""
        lines = [f"|{' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
        lines += [f"| {' | '.join(cells(row))} |" for row in self.rows]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]) + "\n"


def row(name: str, scores: Scores, *, trained: int, graph: Path | None = None, beside: Scores | None = None) -> Row:
    """A row, and how much worse it is than the one beside it."""
    return Row(
        name=name,
        graph=graph,
        trained=trained,
        loss=mean(scores.losses, scores.tokens),
        exact=mean(scores.exact) if scores.exact else None,
        loss_above=None if beside is None else gain(scores.losses, beside.losses, scores.tokens),
        exact_below=gain(beside.exact, scores.exact) if beside is not None and scores.exact else None,
    )


def cells(row: Row) -> Sequence[str]:
    """A row as it stands in a table."""
    trained = f"{row.trained:,}" if row.trained else "-"
    losses = (_told(found, 1, 4) for found in (row.loss, row.loss_above))
    shares = (_told(found, 100, 1) for found in (row.exact, row.exact_below))
    (loss, above), (exact, under) = losses, shares
    return row.name, trained, loss, above, exact, under


def _told(found: Interval | None, size: float, digits: int) -> str:
    if found is None:
        return ""
    value, low, high = (f"{size * each:.{digits}f}" for each in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"
