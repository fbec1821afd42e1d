"""The trained rows: bridges between the two models, and a LoRA of the anchor with as many parameters."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from orchestra.api import load
from orchestra.lab.contest.records import Batch
from orchestra.lab.contest.training import Logits
from orchestra.lab.progress import track
from orchestra.runtime.model import ComposedModel

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What is trained.

    Attributes:
        weights: its parameters.
        prepare: makes of batches what gives their logits; what does not change between epochs is computed once.
    """

    model: PreTrainedModel
    weights: list[nn.Parameter]
    prepare: Callable[[Sequence[Batch]], Logits]

    @property
    def num_weights(self) -> int:
        """How many numbers are trained."""
        return sum(weight.numel() for weight in self.weights)


def whole(folder: Path, device: str = "cpu") -> Learner:
    """All weights of a model, held in fp32: a step of fine-tuning is too small for bf16."""
    model = plain(folder, device).float()
    model.set_attn_implementation("eager")
    return Learner(model=model, weights=list(model.parameters()), prepare=plain_reader(model))


def lora(folder: Path, *, num_weights: int, device: str = "cpu") -> Learner:
    """A LoRA on every linear layer of a model, of the least rank with as many parameters as asked for."""
    model = plain(folder, device)
    model.set_attn_implementation("eager")  # for short rows in bf16 twice as fast on a CPU (torch 2.13)
    shapes = [m.weight.shape for name, m in model.named_modules() if name.endswith(LINEARS)]
    rank = math.ceil(num_weights / sum(sum(shape) for shape in shapes))
    adapted: Any = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(LINEARS)))
    learnt = [weight for weight in adapted.parameters() if weight.requires_grad]
    return Learner(model=adapted, weights=learnt, prepare=plain_reader(adapted))


def plain_reader(model: Any) -> Callable[[Sequence[Batch]], Logits]:
    """A model that is trained itself makes something new of every text at every step."""

    def logits(_number: int, batch: Batch) -> Tensor:
        told: Tensor = model(
            input_ids=batch.ids, attention_mask=batch.valid, use_cache=False, logits_to_keep=_last(batch)
        ).logits
        return told

    return lambda _batches: logits


def bridges(
    anchor: Path,
    augment: Path,
    recipe: dict[str, Any],
    *,
    context: str = "refresh",
    tail: str = "held",
    device: str = "cpu",
) -> Learner:
    """Fresh bridges from one frozen model into another."""
    held = {"dtype": "bfloat16", "device": device}
    document = {
        "format": "orchestra/graph@1",
        "anchor": {"model": str(anchor), **held},
        "augments": {"augment": {"model": str(augment), **held, "bridges": recipe, "context": context, "tail": tail}},
    }
    model = load(document)
    model.anchor.set_attn_implementation("eager")
    return Learner(model=model, weights=[weight for _, weight in model.trainable()], prepare=_reader(model))


def _reader(model: ComposedModel) -> Callable[[Sequence[Batch]], Logits]:
    """What the frozen parts make of a text does not change in training: they run once, and steps go on from there."""

    def prepare(batches: Sequence[Batch]) -> Logits:
        read = track(batches, "what the frozen models make of the records")
        taps = [model.taps(batch.ids, batch.valid, prompt_length=batch.prompt_length) for batch in read]

        def logits(number: int, batch: Batch) -> Tensor:
            told: Any = model(
                input_ids=batch.ids,
                attention_mask=batch.valid,
                prompt_length=batch.prompt_length,
                taps=taps[number],
                logits_to_keep=_last(batch),
            )
            kept: Tensor = told.logits
            return kept

        return logits

    return prepare


def _last(batch: Batch) -> Tensor:
    """Indices, not a count: a slice would have the output matrix copied for every row (torch 2.13, CPU)."""
    length = batch.ids.shape[1]
    return torch.arange(length - batch.learnt.shape[1] - 1, length, device=batch.ids.device)


def plain(folder: Path, device: str = "cpu") -> PreTrainedModel:
    """A model as it is, in bf16."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    placed: PreTrainedModel = model.to(device).eval()
    return placed


def shuffled(folder: Path, into: Path, *, seed: int = 0) -> Path:
    """A model of the same architecture, tokenizer and sizes of weights as another, that has learnt nothing.

    Each matrix is drawn anew, as widely spread as the trained one; norms stay as they are.
    """
    if (into / "config.json").is_file():
        return into
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * weight.float().std())
    partial = into.with_name(f"{into.name}.partial")
    model.save_pretrained(partial)
    for file in folder.glob("tokenizer*"):
        (partial / file.name).write_bytes(file.read_bytes())
    partial.rename(into)
    return into
