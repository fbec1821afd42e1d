"""How long and how fast a control is trained: as the bundle's record says, but for what is asked for otherwise."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestra.train.spec import TrainSpec

_TOLD: Mapping[str, type | tuple[type, ...]] = {
    "learning_rate": (int, float),
    "schedule": str,
    "warmup": int,
    "weight_decay": (int, float),
    "max_grad_norm": (int, float),
    "bf16": bool,
    "seed": int,
}
_COUNTS = ("steps", "global_batch")


def is_record(recipe: Mapping[str, Any]) -> bool:
    """Whether a bundle's recipe is the record of an `orchestra train`, so that the same can be done again."""
    told = all(isinstance(recipe.get(name), kind) for name, kind in _TOLD.items())
    return told and all(isinstance(recipe.get(name), int) and recipe[name] > 0 for name in _COUNTS)


def budget(recipe: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a `TrainSpec`: those of the record, where it is one; what is given goes before.

    A batch size, or an accumulation, that is given alone changes the layout of a step and not what it sees, where that
    can be.
    """
    if not is_record(recipe):
        return dict(given)
    fields = {name: recipe[name] for name in _TOLD}
    if "epochs" not in given:
        fields["steps"] = recipe["steps"]
    layout = ("batch_size", "gradient_accumulation")
    alone = [name for name in layout if name in given]
    if not alone:
        fields["batch_size"] = recipe["global_batch"]
    elif len(alone) == 1 and recipe["global_batch"] % given[alone[0]] == 0:
        (other,) = {*layout} - {*alone}
        fields[other] = recipe["global_batch"] // given[alone[0]]
    return {**fields, **given}


def differences(recipe: Mapping[str, Any], spec: TrainSpec, *, steps: int, seen: Mapping[str, Any]) -> Iterator[str]:
    """In what a record is not that of a training, each in words.

    Args:
        steps: of the training.
        seen: what else the record would say of it: its data, who was trained, who read prompts only.
    """
    now = {name: getattr(spec, name) for name in _TOLD} | {**seen, "steps": steps}
    now["global_batch"] = spec.batch_size * spec.gradient_accumulation
    for name, value in now.items():
        if recipe.get(name) != value:
            yield f"{name} was {_short(recipe.get(name))} and is {_short(value)}"


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:12]}..."
