"""Trains a small model on an endless stream of examples: resumable, the same on every run.

Matrices inside the layers are trained with Muon, everything else with AdamW, in bf16 autocast over fp32 weights.
Source: Muon, Jordan et al. 2024, as torch.optim.Muon.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from orchestra.lab.batches import IGNORED, Batch, Draw, Encode, batches
from orchestra.lab.progress import Work
from orchestra.lab.tokenizer import PAD_ID
from orchestra.runtime.model import ComposedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How to train.

    Attributes:
        rate: peak learning rate of AdamW; Muon's is `muon` times it.
        muon: 0 leaves everything to AdamW.
        noise: noise on half of the rows' embeddings, relative to their size.
        save_every: steps between checkpoints.
        attention: as transformers names it; rows of up to some two hundred tokens are learnt up to twice as fast on a
            CPU with attention that is written out (docs/notes/kv.md).
    """

    steps: int
    batch: int
    rate: float
    muon: float = 5.0
    weight_decay: float = 0.05
    warmup: int = 200
    noise: float = 0.0
    seed: int = 0
    save_every: int = 200
    attention: Literal["eager", "sdpa"] = "eager"


Loss = Callable[[PreTrainedModel, Batch, Fit, int], Tensor]
"""What a model loses on a batch at a step."""


def fit(
    model: PreTrainedModel,
    example: Draw,
    encode: Encode,
    settings: Fit,
    *,
    checkpoint: Path,
    title: str,
    loss_of: Loss | None = None,
) -> float:
    """Train a model in place, going on from `checkpoint` where there is one.

    Args:
        encode: makes batches of what `example` draws. In a batch with twins (what the anchor alone would have to read
            instead), the input of the first layer is pulled towards what it is for the twin.
        loss_of: what is made small; default: cross-entropy over what is learnt, plus the gap to the twins.

    Returns:
        The loss, averaged over the last steps.
    """
    torch.manual_seed(settings.seed)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimizers = _optimizers(model, weights, settings)
    step, loss = _resume(checkpoint, weights, optimizers)
    stream = batches(example, encode, size=settings.batch, seed=settings.seed, start=step)
    model.train()
    with _attending(model, settings.attention), Work(title, settings.steps, done=step) as work:
        while step < settings.steps:
            _set_rate(optimizers, settings, step)
            now = _step(model, weights, optimizers, next(stream), settings, loss_of or _loss, step)
            loss = now if step == 0 else 0.98 * loss + 0.02 * now
            step += 1
            work.at(step, loss=loss)
            if step % settings.save_every == 0 or step == settings.steps:
                _save(checkpoint, weights, optimizers, step, loss)
    model.eval()
    return loss


@contextmanager
def _attending(model: PreTrainedModel, attention: str) -> Iterator[None]:
    """Have a model compute attention in this way inside the block."""
    before = model.config._attn_implementation
    model.set_attn_implementation(attention)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _optimizers(model: nn.Module, weights: dict[str, nn.Parameter], settings: Fit) -> list[torch.optim.Optimizer]:
    outer = {
        id(weight) for module in model.modules() if isinstance(module, nn.Embedding) for weight in module.parameters()
    }
    head = getattr(model, "lm_head", None)
    outer |= {id(weight) for weight in head.parameters()} if isinstance(head, nn.Module) else set()
    inner = {name: w for name, w in weights.items() if w.ndim == 2 and min(w.shape) > 1 and id(w) not in outer}
    if not settings.muon:
        decayed = {"params": list(inner.values()), "weight_decay": settings.weight_decay}
        others = {"params": [weight for name, weight in weights.items() if name not in inner], "weight_decay": 0.0}
        return [torch.optim.AdamW([decayed, others], lr=settings.rate, betas=(0.9, 0.98))]
    rest = [weight for name, weight in weights.items() if name not in inner]
    return [
        torch.optim.Muon(inner.values(), lr=settings.rate * settings.muon, weight_decay=settings.weight_decay),
        torch.optim.AdamW(rest, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _set_rate(optimizers: list[torch.optim.Optimizer], settings: Fit, step: int) -> None:
    """Linear warm-up, then a cosine to a fiftieth."""
    cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    factor = min(1.0, (step + 1) / settings.warmup) * cosine
    for optimizer in optimizers:
        scale = settings.muon if isinstance(optimizer, torch.optim.Muon) else 1.0
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * scale * factor


def _step(
    model: PreTrainedModel,
    weights: dict[str, nn.Parameter],
    optimizers: list[torch.optim.Optimizer],
    batch: Batch,
    settings: Fit,
    loss_of: Loss,
    step: int,
) -> float:
    loss = loss_of(model, batch, settings, step)
    loss.backward()
    nn.utils.clip_grad_norm_(weights.values(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def _loss(model: PreTrainedModel, batch: Batch, settings: Fit, step: int) -> Tensor:
    """Cross-entropy over what is learnt; with twins, plus the gap that is left to them."""
    device = model.device
    ids, labels = batch.ids.to(device), batch.labels.to(device)
    twins = None if batch.twins is None else batch.twins.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        if settings.noise:
            embedded = _noisy(model.get_input_embeddings()(ids), settings.noise, seed=step)
            output = model(inputs_embeds=embedded, use_cache=False)
        else:
            said = prompts(model, batch)
            output = model(input_ids=ids, use_cache=False, output_hidden_states=twins is not None, **said)
    learnt = labels[:, 1:] != IGNORED
    loss = functional.cross_entropy(output.logits[:, :-1][learnt].float(), labels[:, 1:][learnt])
    if twins is not None:
        embed = model.get_input_embeddings()
        loss = loss + _gap(output.hidden_states[0], start=embed(ids), goal=embed(twins), real=ids != PAD_ID)
    return loss


def prompts(model: PreTrainedModel, batch: Batch) -> dict[str, Tensor]:
    """Where each row's prompt ends, if an augment of the model reads prompts only: before what is learnt first."""
    if isinstance(model, ComposedModel) and model.prompt_readers():
        return {"prompt_length": (batch.labels != IGNORED).int().argmax(1).to(model.device)}
    return {}


def _gap(states: Tensor, *, start: Tensor, goal: Tensor, real: Tensor) -> Tensor:
    """The share of the way from `start` to `goal` that is left: 1 where nothing was added, 0 at the goal."""
    left = ((states - goal).float().square() * real[..., None]).sum()
    return left / (start - goal).float().square().sum().clamp_min(1e-6)


def _noisy(embedded: Tensor, noise: float, *, seed: int) -> Tensor:
    """Half of the rows with Gaussian noise: a number that a bridge brings is never quite the number's embedding."""
    generator = torch.Generator().manual_seed(seed)
    size = embedded.detach().pow(2).mean().sqrt().cpu()
    some = (torch.rand(len(embedded), 1, 1, generator=generator) < 0.5).float()
    return embedded + (some * noise * size * torch.randn(embedded.shape, generator=generator)).to(embedded.device)


def _save(
    path: Path,
    weights: dict[str, nn.Parameter],
    optimizers: list[torch.optim.Optimizer],
    step: int,
    loss: float,
) -> None:
    state = {
        "weights": {name: weight.detach() for name, weight in weights.items()},
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "step": step,
        "loss": loss,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(path: Path, weights: dict[str, nn.Parameter], optimizers: list[torch.optim.Optimizer]) -> tuple[int, float]:
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(state["weights"][name])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"]), float(state["loss"])
