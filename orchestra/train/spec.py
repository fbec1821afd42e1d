"""What a training is told: the data, how long, how fast. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from orchestra.errors import TrainError

Schedule = Literal["linear", "cosine", "constant"]

_AT_LEAST_ONE = ("epochs", "steps", "batch_size", "gradient_accumulation", "eval_every", "save_every", "log_every")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """The settings of one training.

    Attributes:
        data, eval_data: JSONL files of `{"prompt", "completion"}` or `{"text"}`.
        output: each trained stack goes to `output/<augment>` as a bundle, checkpoints to `output/_checkpoints`.
        augments: whose stacks are trained; every other augment is off meanwhile. Default: those that are on in the
            graph.
        epochs, steps: how long; one of them, and one epoch where neither is given.
        warmup: steps during which the learning rate rises from zero.
        max_grad_norm: gradients are scaled down to this norm; 0 leaves them.
        batch_size: records per process and forward; a step sees `batch_size * gradient_accumulation * processes`.
        gradient_checkpointing: recompute activations in the backward pass instead of keeping them.
        keep_taps: a folder with room on disk. What the frozen models make of every record is computed once and kept
            there, and steps run only what is above it. What is there already of the same models and records is used.
        bf16: compute in bfloat16 (autocast); the bridges' own weights stay as they are.
        seed: of the order of the records. (Fresh bridges are seeded by the graph.)
        eval_every: evaluate every so many steps; default: at the end only.
        save_every: write a checkpoint every so many steps, and at the end.
        max_length: longest record in tokens; default: what the models allow.
        resume: continue from the newest whole checkpoint in `output`; else the checkpoints there are discarded.
    """

    data: Path
    output: Path
    eval_data: Path | None = None
    augments: tuple[str, ...] = ()
    epochs: int | None = None
    steps: int | None = None
    learning_rate: float = 3e-4
    schedule: Schedule = "linear"
    warmup: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    batch_size: int = 8
    gradient_accumulation: int = 1
    gradient_checkpointing: bool = False
    keep_taps: Path | None = None
    bf16: bool = False
    seed: int = 0
    eval_every: int | None = None
    save_every: int = 500
    log_every: int = 10
    max_length: int | None = None
    resume: bool = True

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise TrainError.listing(problems)

    def _problems(self) -> Iterator[str]:
        if self.epochs is not None and self.steps is not None:
            yield f"epochs is {self.epochs} and steps is {self.steps}; they exclude each other: give one of them."
        if self.eval_every is not None and self.eval_data is None:
            yield f"eval_every is {self.eval_every}, but there is no eval_data to evaluate on."
        if self.schedule not in get_args(Schedule):
            yield f"schedule is {self.schedule!r}; it is one of {', '.join(get_args(Schedule))}."
        for field in _AT_LEAST_ONE:
            value = getattr(self, field)
            if value is not None and value < 1:
                yield f"{field} is {value}; it must be at least 1."
        if self.max_length is not None and self.max_length < 2:
            yield f"max_length is {self.max_length}; it must be at least 2."
        if not 0 < self.learning_rate < float("inf"):
            yield f"learning_rate is {self.learning_rate}; it must be above 0."
        for field in ("warmup", "weight_decay", "max_grad_norm", "seed"):
            value = getattr(self, field)
            if not 0 <= value < float("inf"):
                yield f"{field} is {value}; it must be at least 0."
