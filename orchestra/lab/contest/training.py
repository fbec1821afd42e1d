"""One way to train for every row that is trained: AdamW on the same batches in the same order, resumable."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from orchestra.lab.contest.records import Batch
from orchestra.lab.progress import Work

Logits = Callable[[int, Batch], Tensor]
"""The logits of a batch over its last tokens, one before the first that is learnt; batches are known by number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train."""

    epochs: int
    rate: float
    warmup: float = 0.05
    weight_decay: float = 0.01
    save_every: int = 50


def fit(
    weights: Sequence[nn.Parameter], logits: Logits, batches: Sequence[Batch], settings: Settings, *, place: Path
) -> None:
    """Train weights, going on from `place` where there is something."""
    optimizer = torch.optim.AdamW(weights, lr=settings.rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98))
    order = [number for epoch in range(settings.epochs) for number in _shuffled(len(batches), epoch)]
    step = _resume(place, weights, optimizer)
    with Work(place.stem, len(order), done=step) as work:
        while step < len(order):
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * _factor(step, len(order), settings.warmup)
            value = loss(logits, order[step], batches[order[step]])
            value.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            work.at(step, loss=value.item())
            if step % settings.save_every == 0 or step == len(order):
                _save(place, weights, optimizer, step)


def loss(logits: Logits, number: int, batch: Batch) -> Tensor:
    """Cross-entropy over completions and their ends."""
    with torch.autocast(batch.ids.device.type, dtype=torch.bfloat16):
        told = logits(number, batch)
    learnt = batch.learnt != -100
    return functional.cross_entropy(told[:, :-1][learnt].float(), batch.learnt[learnt])


@torch.no_grad()
def mean_loss(logits: Logits, batches: Sequence[Batch]) -> float:
    """Nats per token over batches that are not learnt."""
    sizes = [int((batch.learnt != -100).sum()) for batch in batches]
    losses = [float(loss(logits, number, batch)) for number, batch in enumerate(batches)]
    return sum(size * value for size, value in zip(sizes, losses, strict=True)) / sum(sizes)


def _shuffled(count: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(count), count)


def _factor(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up, then a cosine to nearly nothing."""
    cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / max(1.0, warmup * steps)) * cosine


def _save(place: Path, weights: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, step: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(".partial")
    state = {"weights": [weight.detach() for weight in weights], "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, partial)
    partial.replace(place)


def _resume(place: Path, weights: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    if not place.is_file():
        return 0
    state = torch.load(place, weights_only=True)
    with torch.no_grad():
        for weight, kept in zip(weights, state["weights"], strict=True):
            weight.copy_(kept)
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
