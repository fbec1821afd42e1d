"""One composition and all that its controls need: data, budget, and what is asked."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, Batch, Draw, Encode, encode
from orchestra.lab.expressions import Example
from orchestra.lab.fitting import Fit, prompts
from orchestra.lab.measure import right

_ROWS = 100  # texts per forward


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Questions with a scorer.

    Attributes:
        ask: a value per question, the same questions for every model.
        unit: what the values are; percent are shares, shown times a hundred, nats are losses, lower being better.
    """

    ask: Callable[[PreTrainedModel], Sequence[float]]
    unit: Literal["percent", "nats"] = "percent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """One composition of one augment, and all that its controls need.

    Attributes:
        anchor, augment, vanilla: model folders; the last is what the vanilla control reads instead of the augment.
        vanilla_is: what that model is, in words.
        fields: further fields of the augment in the graph.
        vanilla_bridges: the stack into the vanilla model, where its layers are others.
        tune: batches that no row learns from.
        trial: the share of the steps that a rate is tried for.
        tasks: what the composition is for.
        known: what the anchor knew before.
        alone: the tasks as the augment is asked by itself, by the same names; empty where it cannot be.
        settings: what else decides the numbers.
    """

    name: str
    about: str
    anchor: Path
    augment: Path
    bridges: Mapping[str, Any]
    vanilla: Path
    vanilla_is: str
    lesson: Draw
    encode: Encode
    fit: Fit
    tune: Sequence[Batch]
    tasks: Mapping[str, Task]
    known: Mapping[str, Task]
    bundle: Path | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    vanilla_bridges: Mapping[str, Any] | None = None
    lora_rates: Sequence[float] = (1e-3, 3e-3, 1e-2)
    tuned_rates: Sequence[float] = (1e-4, 3e-4, 1e-3)
    trial: float = 0.125
    alone: Mapping[str, Task] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trial_steps(self) -> int:
        """How many steps a rate is tried for."""
        return max(1, round(self.trial * self.fit.steps))

    @property
    def digest(self) -> str:
        """What tells this experiment from one with other settings, so that nothing is resumed from the wrong one."""
        told = (self.bridges, self.vanilla_bridges, self.fit, self.lora_rates, self.tuned_rates, self.trial)
        places = (self.anchor.name, self.augment.name, self.vanilla.name, self.bundle and self.bundle.name)
        text = repr((told, places, sorted(self.settings.items()), list(self.tasks), list(self.known)))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def exact(words: PreTrainedTokenizerFast, examples: Sequence[Example], *, max_new_tokens: int | None = None) -> Task:
    """Whether the greedy answer to each question is exactly right."""
    return Task(ask=lambda model: right(model, words, examples, max_new_tokens=max_new_tokens))


def nats(words: PreTrainedTokenizerFast, examples: Sequence[Example]) -> Task:
    """The loss of each text: nats per token over what is learnt of it."""
    ordered = sorted(examples, key=lambda example: sum(len(text) for text, _ in example))
    batches = [encode(words, ordered[start : start + _ROWS]) for start in range(0, len(ordered), _ROWS)]
    return Task(ask=lambda model: [value for batch in batches for value in losses(model, batch)], unit="nats")


@torch.no_grad()
def losses(model: PreTrainedModel, batch: Batch) -> list[float]:
    """Nats per learnt token, for each row."""
    logits = model(input_ids=batch.ids.to(model.device), use_cache=False, **prompts(model, batch)).logits
    wanted = batch.labels[:, 1:].to(model.device)
    each = functional.cross_entropy(
        logits[:, :-1].float().transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none"
    )
    return (each.sum(1) / (wanted != IGNORED).sum(1)).tolist()
