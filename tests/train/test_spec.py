"""The settings of a training."""

import re
from pathlib import Path

import pytest

from orchestra.errors import TrainError
from orchestra.train.spec import TrainSpec

DATA, OUTPUT = Path("pairs.jsonl"), Path("out")


def test_data_and_output_are_all_that_is_needed() -> None:
    spec = TrainSpec(data=DATA, output=OUTPUT)
    assert (spec.augments, spec.epochs, spec.steps, spec.resume) == ((), None, None, True)


def test_every_setting_that_cannot_work_is_listed() -> None:
    message = (
        "epochs is 2 and steps is 0; they exclude each other: give one of them.\n"
        "eval_every is 5, but there is no eval_data to evaluate on.\n"
        "schedule is 'square'; it is one of linear, cosine, constant.\n"
        "steps is 0; it must be at least 1.\n"
        "batch_size is -1; it must be at least 1.\n"
        "max_length is 1; it must be at least 2.\n"
        "learning_rate is nan; it must be above 0.\n"
        "weight_decay is -0.1; it must be at least 0."
    )
    with pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
        TrainSpec(
            data=DATA,
            output=OUTPUT,
            epochs=2,
            steps=0,
            eval_every=5,
            schedule="square",  # type: ignore[arg-type]
            batch_size=-1,
            max_length=1,
            learning_rate=float("nan"),
            weight_decay=-0.1,
        )
