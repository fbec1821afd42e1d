"""What a probing is told. No torch."""

from dataclasses import dataclass
from pathlib import Path

from orchestra.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSpec:
    """The settings of one probing.

    Attributes:
        data: a JSONL file; `records.py` says what a record is.
        eval_data: records to score on; default: a share of the prompts of `data`, which is then not fitted on.
        held_out: that share.
        augments: whose layers are probed; default: all that are on.
        limit: read so many records of each file, drawn by the seed; default: all.
        classes: a linear probe tells apart the most frequent labels, up to so many.
        resamples: bootstrap samples of an interval.
        seed: of what is held out, of what is drawn, and of the bootstrap.
    """

    data: Path
    eval_data: Path | None = None
    held_out: float = 0.25
    augments: tuple[str, ...] = ()
    batch_size: int = 16
    limit: int | None = None
    classes: int = 1000
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        problems = [
            f"{field} is {value}; it must be at least {least}."
            for field, least in (("batch_size", 1), ("limit", 1), ("classes", 2), ("resamples", 100), ("seed", 0))
            if (value := getattr(self, field)) is not None and value < least
        ]
        if not 0 < self.held_out < 1:
            problems.append(f"held_out is {self.held_out}; it must be above 0 and below 1.")
        if problems:
            raise DataError.listing(problems)
