from pathlib import Path
from typing import Any

import pytest

from orchestra.train import TrainSpec
from orchestra.train.budget import budget, differences, is_record

RECORD: dict[str, Any] = {
    "trained": "kv",
    "data_sha256": "0123456789abcdef01234",
    "steps": 13,
    "global_batch": 12,
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "warmup": 3,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
    "bf16": True,
    "seed": 7,
}
SEEN = {"trained": "kv", "data_sha256": "0123456789abcdef01234"}
FIELDS = {name: RECORD[name] for name in RECORD if name not in (*SEEN, "global_batch")}


def spec(**changes: Any) -> TrainSpec:
    return TrainSpec(data=Path("d"), output=Path("o"), **{**budget(RECORD, {}), **changes})


def test_without_a_record_the_budget_is_what_is_given() -> None:
    assert budget({}, {"steps": 5}) == {"steps": 5}


@pytest.mark.parametrize("change", [{"steps": "13"}, {"steps": 0}, {"learning_rate": None}, {"bf16": 1}])
def test_a_recipe_of_another_making_is_no_record(change: dict[str, Any]) -> None:
    assert is_record(RECORD)
    assert not is_record(RECORD | change)
    assert budget(RECORD | change, {"seed": 1}) == {"seed": 1}


def test_a_record_is_the_budget_but_for_what_is_given() -> None:
    assert budget(RECORD, {}) == {**FIELDS, "batch_size": 12}
    assert budget(RECORD, {"seed": 1, "steps": 5}) == {**FIELDS, "batch_size": 12, "seed": 1, "steps": 5}
    epochs = budget(RECORD, {"epochs": 2})
    assert (epochs["epochs"], "steps" in epochs) == (2, False)


def test_a_layout_that_is_given_sees_the_same_records_in_a_step_where_it_can() -> None:
    layouts = {
        (4, None): (4, 3),
        (None, 6): (2, 6),
        (5, None): (5, None),
        (4, 2): (4, 2),
    }
    for (batch, accumulation), expected in layouts.items():
        given = {"batch_size": batch, "gradient_accumulation": accumulation}
        found = budget(RECORD, {name: value for name, value in given.items() if value is not None})
        assert (found.get("batch_size"), found.get("gradient_accumulation")) == expected


def test_a_record_is_compared_field_by_field() -> None:
    assert list(differences(RECORD, spec(), steps=13, seen=SEEN)) == []
    assert list(differences(RECORD, spec(batch_size=4, gradient_accumulation=3), steps=13, seen=SEEN)) == []
    changed = {**SEEN, "data_sha256": "fedcba987654321001234", "prompt_only": "kv"}
    assert list(differences(RECORD, spec(seed=8, batch_size=3), steps=5, seen=changed)) == [
        "seed was 7 and is 8",
        "data_sha256 was 0123456789ab... and is fedcba987654...",
        "prompt_only was none and is kv",
        "steps was 13 and is 5",
        "global_batch was 12 and is 3",
    ]
