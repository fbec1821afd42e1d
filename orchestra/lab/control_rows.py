"""The rows of the controls: what is trained for each, from the same rows of data in the same order and steps."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from orchestra.api import load
from orchestra.errors import TrainError
from orchestra.io.fresh import write_fresh
from orchestra.io.models import load_model
from orchestra.lab.clock import timed
from orchestra.lab.controlled import Controlled, losses
from orchestra.lab.fitting import Fit, fit
from orchestra.runtime.model import ComposedModel

Made = tuple[PreTrainedModel, dict[str, Any]]
"""A model to score, and what is told of how it was made."""


class Place:
    """Where an experiment's rows are trained.

    Attributes:
        folder: what trainings resume from, and the models that they make.
    """

    def __init__(self, experiment: Controlled, folder: Path) -> None:
        self.experiment, self.folder = experiment, folder

    def composed(self, model: Path, bridges: str | Mapping[str, Any], **fields: Any) -> ComposedModel:
        """The anchor joined with one augment, in float32."""
        augment = {"model": str(model.resolve()), "dtype": "float32", "bridges": bridges}
        document = {
            "format": "orchestra/graph@1",
            "anchor": {"model": str(self.experiment.anchor.resolve()), "dtype": "float32"},
            "augments": {"augment": augment | dict(self.experiment.fields) | fields},
        }
        return load(document)

    def anchor(self) -> PreTrainedModel:
        """The anchor in float32."""
        return load_model(self.experiment.anchor, dtype="float32", device="auto")

    def learn(self, model: PreTrainedModel, title: str, settings: Fit, *, twins: bool) -> dict[str, Any]:
        """Train what requires gradients, going on from where it was cut off."""

        def made(rows: Any) -> Any:
            batch = self.experiment.encode(rows)
            return batch if twins else batch._replace(twins=None)

        clock = self.folder / f"{title}.time"
        with timed(clock):
            name = f"{self.experiment.name}: {title}"
            checkpoint = self.folder / f"{title}.pt"
            fit(model, self.experiment.lesson, made, settings, checkpoint=checkpoint, title=name)
        return {"trained": num_learning(model), "cpu_minutes": round(float(clock.read_text()) / 60, 1)}


def num_learning(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def _anchor(place: Place) -> Made:
    return place.anchor(), {"trained": 0}


def _alone(place: Place) -> Made:
    return load_model(place.experiment.augment, dtype="float32", device="auto"), {"trained": 0}


def _composed(place: Place) -> Made:
    one = place.experiment
    if one.bundle is None:
        return _bridged(place, "composed", one.augment, one.bridges)
    model = place.composed(one.augment, str(one.bundle.resolve()))
    return model, {"trained": sum(weight.numel() for _, weight in model.trainable())}


def _vanilla(place: Place) -> Made:
    one = place.experiment
    return _bridged(place, "vanilla", one.vanilla, one.vanilla_bridges or one.bridges)


def _random(place: Place) -> Made:
    one = place.experiment
    place.folder.mkdir(parents=True, exist_ok=True)
    fresh = write_fresh(one.augment, place.folder / "random-model", seed=one.fit.seed)
    return _bridged(place, "random", fresh, one.bridges)


def _prompt_only(place: Place) -> Made:
    one = place.experiment
    return _bridged(place, "prompt-only", one.augment, one.bridges, context="prompt")


def _bridged(place: Place, title: str, augment: Path, bridges: Mapping[str, Any], **fields: Any) -> Made:
    model = place.composed(augment, bridges, **fields)
    return model, place.learn(model, title, place.experiment.fit, twins=True)


def _lora(place: Place) -> Made:
    one = place.experiment
    wanted = sum(weight.numel() for _, weight in place.composed(one.augment, one.bridges).trainable())
    return _best(place, "lora", lambda: lora(place.anchor(), num_weights=wanted, seed=one.fit.seed), one.lora_rates)


def _tuned(place: Place) -> Made:
    def model() -> PreTrainedModel:
        return place.anchor().requires_grad_(True)

    return _best(place, "fine-tuned", model, place.experiment.tuned_rates)


def _best(place: Place, title: str, model: Callable[[], PreTrainedModel], rates: Sequence[float]) -> Made:
    """Try each rate for a part of the steps, and train for all of them with the best."""
    tried = {rate: _tried(place, f"{title}-{rate:g}", model(), rate) for rate in rates}
    best = min(tried, key=lambda rate: tried[rate])
    chosen = model()
    told = place.learn(chosen, title, replace(place.experiment.fit, rate=best, muon=0.0), twins=False)
    return chosen, {**told, "rate": best, "tried": {f"{rate:g}": round(loss, 4) for rate, loss in tried.items()}}


def _tried(place: Place, title: str, model: PreTrainedModel, rate: float) -> float:
    """The loss on what no row learns from, after a part of the steps."""
    one = place.experiment
    tried = replace(one.fit, rate=rate, muon=0.0, steps=one.trial_steps)
    place.learn(model, title, tried, twins=False)
    found = [value for batch in one.tune for value in losses(model, batch)]
    return sum(found) / len(found)


def lora(model: PreTrainedModel, *, num_weights: int, seed: int) -> PreTrainedModel:
    """A LoRA on every linear layer but the head, of the least rank with as many parameters as asked for.

    Raises:
        TrainError: PEFT is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise TrainError("LoRA needs peft: pip install 'orchestra-lm[eval]'.") from error
    head = model.get_output_embeddings()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer is not head]
    rank = math.ceil(num_weights / sum(sum(layer.weight.shape) for layer in layers))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks transformers by a name that 5.23 gives up
        torch.manual_seed(seed)
        adapted: Any = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))
    found: PreTrainedModel = adapted
    return found


ROWS: Mapping[str, Callable[[Place], Made]] = {
    "anchor": _anchor,
    "augment alone": _alone,
    "composed": _composed,
    "vanilla augment": _vanilla,
    "random augment": _random,
    "LoRA": _lora,
    "anchor fine-tuned": _tuned,
    "prompt-only": _prompt_only,
}
"""Every row, in the order in which they are made."""
