"""Trains a small model on an endless stream of examples: resumable, the same on every run.

Matrices inside the layers are trained with Muon, everything else with AdamW, in bf16 autocast over fp32 weights.
Source: Muon, Jordan et al. 2024, as torch.optim.Muon.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from orchestra.lab.expressions import Example
from orchestra.lab.tokenizer import BEGIN_ID, END_ID, PAD_ID

Draw = Callable[[random.Random, int], Example]
"""Draws an example for a step: early steps may be easier."""

IGNORED = -100
_POOL = 8  # batches that are drawn together and sorted by length, so that a batch holds little padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How to train.

    Attributes:
        rate: peak learning rate of AdamW; Muon's is `muon` times it.
        noise: noise on half of the rows' embeddings, relative to their size.
        save_every: steps between checkpoints.
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


def encode(tokenizer: PreTrainedTokenizerFast, examples: list[Example]) -> tuple[Tensor, Tensor]:
    """Token ids and labels ``(batch, seq)``, right-padded; only learnt pieces and the end have labels."""
    rows = []
    for example in examples:
        ids, labels = [BEGIN_ID], [IGNORED]
        for text, learnt in example:
            piece = tokenizer.encode(text, add_special_tokens=False)
            ids += piece
            labels += piece if learnt else [IGNORED] * len(piece)
        rows.append(([*ids, END_ID], [*labels, END_ID]))
    longest = max(len(ids) for ids, _ in rows)
    return (
        torch.tensor([ids + [PAD_ID] * (longest - len(ids)) for ids, _ in rows]),
        torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in rows]),
    )


def batches(
    tokenizer: PreTrainedTokenizerFast, example: Draw, *, size: int, seed: int, start: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end, from batch `start` on; the n-th batch is the same on every run."""
    pool = start // _POOL
    skip = start % _POOL
    while True:
        rng = random.Random(f"{seed}/{pool}")
        drawn = sorted(
            (example(rng, pool * _POOL) for _ in range(size * _POOL)), key=lambda pieces: sum(len(t) for t, _ in pieces)
        )
        order = list(range(_POOL))
        rng.shuffle(order)
        for index in order[skip:]:
            yield encode(tokenizer, drawn[index * size : (index + 1) * size])
        pool, skip = pool + 1, 0


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    example: Draw,
    settings: Fit,
    *,
    checkpoint: Path,
    title: str,
) -> float:
    """Train a model in place, going on from `checkpoint` where there is one.

    Returns:
        The loss, averaged over the last steps.
    """
    torch.manual_seed(settings.seed)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimizers = _optimizers(model, weights, settings)
    step, loss = _resume(checkpoint, weights, optimizers)
    stream = batches(tokenizer, example, size=settings.batch, seed=settings.seed, start=step)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    model.train()
    with Progress(*columns, TimeRemainingColumn(), TextColumn("loss {task.fields[loss]:.3f}")) as progress:
        bar = progress.add_task(title, total=settings.steps, completed=step, loss=loss)
        while step < settings.steps:
            _set_rate(optimizers, settings, step)
            now = _step(model, weights, optimizers, next(stream), settings, step)
            loss = now if step == 0 else 0.98 * loss + 0.02 * now
            step += 1
            progress.update(bar, completed=step, loss=loss)
            if step % settings.save_every == 0 or step == settings.steps:
                _save(checkpoint, weights, optimizers, step, loss)
    model.eval()
    return loss


def _optimizers(model: nn.Module, weights: dict[str, nn.Parameter], settings: Fit) -> list[torch.optim.Optimizer]:
    outer = {
        id(weight) for module in model.modules() if isinstance(module, nn.Embedding) for weight in module.parameters()
    }
    head = getattr(model, "lm_head", None)
    outer |= {id(weight) for weight in head.parameters()} if isinstance(head, nn.Module) else set()
    inner = {name: w for name, w in weights.items() if w.ndim == 2 and min(w.shape) > 1 and id(w) not in outer}
    rest = [weight for name, weight in weights.items() if name not in inner]
    return [
        torch.optim.Muon(inner.values(), lr=settings.rate * settings.muon, weight_decay=settings.weight_decay),
        torch.optim.AdamW(rest, lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _set_rate(optimizers: list[torch.optim.Optimizer], settings: Fit, step: int) -> None:
    """Linear warm-up, then a cosine to a fiftieth."""
    cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    factor = min(1.0, (step + 1) / settings.warmup) * cosine
    for optimizer, peak in zip(optimizers, (settings.rate * settings.muon, settings.rate), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = peak * factor


def _step(
    model: PreTrainedModel,
    weights: dict[str, nn.Parameter],
    optimizers: list[torch.optim.Optimizer],
    batch: tuple[Tensor, Tensor],
    settings: Fit,
    step: int,
) -> float:
    ids, labels = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if settings.noise:
            embedded = _noisy(model.get_input_embeddings()(ids), settings.noise, seed=step)
            logits = model(inputs_embeds=embedded, use_cache=False).logits
        else:
            logits = model(input_ids=ids, use_cache=False).logits
    learnt = labels[:, 1:] != IGNORED
    loss = functional.cross_entropy(logits[:, :-1][learnt].float(), labels[:, 1:][learnt])
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(weights.values(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def _noisy(embedded: Tensor, noise: float, *, seed: int) -> Tensor:
    """Half of the rows with Gaussian noise: a number that a bridge brings is never quite the number's embedding."""
    generator = torch.Generator().manual_seed(seed)
    size = embedded.detach().pow(2).mean().sqrt()
    some = (torch.rand(len(embedded), 1, 1, generator=generator) < 0.5).float()
    return embedded + some * noise * size * torch.randn(embedded.shape, generator=generator)


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
