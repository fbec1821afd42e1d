"""What the controls of a graph are told: what is swapped for what, on which data, within which budget. No torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestra.errors import TrainError
from orchestra.io.hosted import is_hub_id

Kind = Literal["random", "vanilla", "prompt-only"]
FORMS = "NAME=random, NAME=vanilla:FOLDER or NAME=prompt-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """One control of one augment.

    Attributes:
        kind: `random`, fresh weights of the same architecture; `vanilla`, another model in its place; `prompt-only`,
            the same model that reads the prompt only.
        model: of `vanilla`, a folder, a GGUF file, or an id on the Hub.
    """

    augment: str
    kind: Kind
    model: str | None = None

    @property
    def name(self) -> str:
        """What the row is called."""
        if self.model is None:
            return f"{self.augment}={self.kind}"
        return f"{self.augment}={self.kind}:{self.model if is_hub_id(self.model) else Path(self.model).name}"

    @property
    def place(self) -> str:
        """What its folder is called."""
        model = "" if self.model is None else f"-{Path(self.model).name}"
        return f"{self.augment}-{self.kind}{model}"


def parse(text: str) -> Swap:
    """Read a swap as it is typed.

    Raises:
        TrainError: it is none.
    """
    augment, _, what = text.partition("=")
    kind, _, model = what.partition(":")
    if augment and kind == "vanilla" and model:
        return Swap(augment=augment, kind="vanilla", model=model)
    if augment and what == "random":
        return Swap(augment=augment, kind="random")
    if augment and what == "prompt-only":
        return Swap(augment=augment, kind="prompt-only")
    raise TrainError(f"swap is {text!r}; it is {FORMS}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapSpec:
    """The settings of a comparison.

    Attributes:
        data: JSONL files of `{"prompt", "completion"}` or `{"text"}`, as in training.
        output: each control goes to a folder of its own below, with a graph that loads it.
        eval_data: what is held out; default: a share of the data, on which then nothing is trained.
        held_out: that share; drawn by the seed of the budget.
        asked: how many prompts are completed at most.
        budget: fields of a `TrainSpec`, in place of those that the augment's bundle was trained with.
    """

    swaps: tuple[Swap, ...]
    data: Path
    output: Path
    eval_data: Path | None = None
    held_out: float = 0.1
    asked: int = 500
    budget: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise TrainError.listing(problems)

    def _problems(self) -> Iterator[str]:
        if not self.swaps:
            yield f"there is nothing to swap: give at least one of {FORMS}."
        places = [swap.place for swap in self.swaps]
        for place in dict.fromkeys(place for place in places if places.count(place) > 1):
            yield f"two swaps would both be written to {place}: give one of them, or rename a folder."
        if not 0 < self.held_out < 1:
            yield f"held_out is {self.held_out}; it must be above 0 and below 1."
        if self.asked < 1:
            yield f"asked is {self.asked}; it must be at least 1."
