"""What an evaluation found: values, with the intervals that belong to them."""

from dataclasses import asdict, dataclass
from typing import Any

from orchestra.eval.settings import Setting
from orchestra.intervals import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a set of augments scores in a task.

    Attributes:
        metric: as the harness names it; with the name of its filter where it has one.
        records: how many were asked.
        higher_is_better: None where the harness does not know.
        difference: to the full composition, on the same records; None for the full composition itself, and where a
            metric left out other records than there.
    """

    task: str
    metric: str
    setting: str
    on: tuple[str, ...]
    records: int
    higher_is_better: bool | None
    score: Interval
    difference: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluation.

    Attributes:
        settings: the rows of each table; the full composition first.
        scores: by task and metric, and in these by setting.
    """

    settings: tuple[Setting, ...]
    scores: tuple[Score, ...]

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
