"""The augment: it knows what each key of the table is worth, and cannot compute.

Its answers are groups of digits; each is the sum of a direction per digit, all at right angles and of a fixed length.
States that lower the loss of such a head hold the digits and little else, and that is what a bridge can carry
(docs/notes/kv-small.md).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, Batch
from orchestra.lab.expressions import Example
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.kv.expression import LARGEST, MOST, SIGNS
from orchestra.lab.kv.keys import UniqueTable, halves, written
from orchestra.lab.kv.words import groups
from orchestra.lab.measure import Score
from orchestra.lab.tokenizer import BEGIN_ID, PAD_ID

_PLACES = 3
_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of training.

    Attributes:
        answers: how long the directions of the answers are.
        alone: the share of rows that hold one key and nothing else.
        short: the share of keys that are drawn from those of two and three letters alone.
    """

    name: str
    answers: float
    fit: Fit
    alone: float = 0.0
    short: float = 0.0


@torch.no_grad()
def freeze_answers(model: LlamaForCausalLM, words: PreTrainedTokenizerFast, *, size: float) -> None:
    """Give every group of digits its direction, everything else none; neither these nor the last norm learn."""
    rows: Tensor = model.lm_head.weight
    generator = torch.Generator().manual_seed(0)
    directions, _ = torch.linalg.qr(torch.randn(rows.shape[1], 10 * _PLACES, generator=generator))
    rows.zero_()
    vocabulary = words.get_vocab()
    for group, token in ((group, vocabulary[group]) for group in groups()):
        for place, digit in enumerate(reversed(group)):
            rows[token] += size * directions.T[10 * place + int(digit)].to(rows.device)
    model.lm_head.requires_grad_(False)
    model.model.norm.requires_grad_(False)


def recital(rng: random.Random, table: UniqueTable, *, alone: float = 0.0, short: float = 0.0) -> Example:
    """Keys in a row, as in a question, and a number here and there; or one key alone.

    Args:
        alone: the share of rows of one key: in these the table is learnt sooner.
        short: the share of keys that are drawn from those of two and three letters alone.
    """
    found: list[tuple[str, bool]] = []
    size = 1 if rng.random() < alone else rng.randint(2, MOST)
    for _ in range(size):
        if size > 1 and rng.random() < 0.1:
            found.append((str(rng.randint(1, LARGEST)), False))
        else:
            key = rng.choice(table.short if rng.random() < short else table.everything)
            found.append((key, True))
        found.append((rng.choice(SIGNS), False))
    return tuple(found[:-1])


def encode(words: PreTrainedTokenizerFast, table: UniqueTable, rows: Sequence[Example]) -> Batch:
    """Token ids, and what is said after a key's slash and after its closing bracket (labels are of the token after)."""
    vocabulary = words.get_vocab()
    made = []
    for row in rows:
        ids, says = [BEGIN_ID], [IGNORED]
        for text, is_key in row:
            piece = words.encode(written(text) if is_key else text, add_special_tokens=False)
            ids += piece
            known = [vocabulary[half] for half in halves(table.values[text])] if is_key else []
            says += [IGNORED] * (len(piece) - len(known)) + known
        made.append((ids, says))
    longest = max(len(ids) for ids, _ in made)
    return Batch(
        torch.tensor([ids + [PAD_ID] * (longest - len(ids)) for ids, _ in made]),
        torch.tensor([says + [IGNORED] * (longest - len(says)) for _, says in made]),
    )


def train(
    model: LlamaForCausalLM, words: PreTrainedTokenizerFast, table: UniqueTable, stage: Stage, *, checkpoint: Path
) -> float:
    """Train an augment in place for one stage."""
    freeze_answers(model, words, size=stage.answers)
    return fit(
        model,
        lambda rng, _: recital(rng, table, alone=stage.alone, short=stage.short),
        lambda rows: encode(words, table, rows),
        stage.fit,
        checkpoint=checkpoint,
        title=checkpoint.stem,
        loss_of=loss,
    )


def loss(model: PreTrainedModel, batch: Batch, settings: Fit, step: int) -> Tensor:
    """Cross-entropy of what is said, where something is."""
    causal, device = model, model.device
    ids, says = batch.ids.to(device), batch.labels.to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        states = causal.model(input_ids=ids, use_cache=False).last_hidden_state
        known = says != IGNORED
        logits = causal.lm_head(states[known])
    return functional.cross_entropy(logits.float(), says[known])


@torch.no_grad()
def score(
    model: PreTrainedModel, words: PreTrainedTokenizerFast, table: UniqueTable, count: int, *, seed: int = 0
) -> dict[str, Any]:
    """Exact match of what an augment says at the ends of single keys."""
    rng = random.Random(f"{seed}/keys alone")
    rows: list[Example] = [((rng.choice(table.everything), True),) for _ in range(count)]
    right = 0
    for start in range(0, count, _ROWS):
        batch = encode(words, table, rows[start : start + _ROWS])
        known = batch.labels != IGNORED
        said = model(input_ids=batch.ids.to(model.device), use_cache=False).logits.argmax(-1).cpu()
        right += int(((said == batch.labels) | ~known).all(1).sum())
    return Score(right=right, asked=count, guess=0.0).record()
