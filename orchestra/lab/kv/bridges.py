"""The stack: trained on a fifth of the keys, to say what an expression's keys are worth; the anchor knows the rest."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from orchestra.lab.batches import IGNORED, Batch, encode
from orchestra.lab.exercises import Exercise, Part, example
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.kv.expression import LARGEST, MOST, Expression, draw
from orchestra.lab.kv.keys import UniqueTable, written
from orchestra.lab.kv.working import restated, working
from orchestra.lab.tokenizer import END_ID

_WHOLE = 0.25  # the share of rows that go on to the end of the working
_LONGEST = 400  # tokens of a working that is learnt whole

Bridges = Mapping[str, Any] | str
"""The recipe of a fresh stack, or the folder of a trained one."""


def fresh(augment_layers: int) -> Mapping[str, Any]:
    """One bridge, from where the value stands (after the last layer) to where all layers are left to compute."""
    return {"gate": "token", "pairs": [{"augment_layer": augment_layers - 1, "anchor_layer": "embedding"}]}


def document(anchor: Path, augment: Path, bridges: Bridges) -> dict[str, Any]:
    """The graph of an anchor and an augment."""
    return {
        "format": "orchestra/graph@1",
        "description": "An anchor that computes, and a private table of 25,000 keys that it may look up.",
        "anchor": {"model": str(anchor), "dtype": "float32"},
        "augments": {"kv": {"model": str(augment), "dtype": "float32", "bridges": bridges}},
    }


def exercise(rng: random.Random, table: UniqueTable) -> Exercise:
    """A question over keys that bridges may see, a number here and there, and the numbers that are meant.

    Mostly the substitution alone is learnt: what the anchor does with the numbers then, it knows. Some rows go on to
    the end of the working, so that bridges learn to leave it alone.
    """
    sizes = range(1, MOST + 1)
    keys = [rng.choice(table.seen) if rng.random() < 0.85 else None for _ in range(MOST)]
    values = [rng.randint(1, LARGEST) if key is None else table.values[key] for key in keys]
    drawn = iter(values)
    expression = draw(rng, sizes=sizes, number=lambda: next(drawn))
    parts = []
    for sign, key, value in zip(("", *expression.signs), keys, values, strict=False):
        parts += [Part(sign, sign)] if sign else []
        parts.append(Part(str(value), str(value)) if key is None else Part(written(key), f"<{key}{value:05d}"))
    told = working(expression) if rng.random() < _WHOLE else restated(expression)
    said = "".join(told if len(told) <= _LONGEST else restated(expression))
    return (*parts, Part("=", "="), Part(said, said, learnt=True))


def encode_exercises(words: PreTrainedTokenizerFast, rows: Sequence[Exercise], *, twins: bool = True) -> Batch:
    """Token ids, labels, and what the anchor could read instead; the working goes on, so no end is learnt."""
    batch = encode(words, [example(row) for row in rows])
    instead = encode(words, [tuple((part.twin, part.learnt) for part in row) for row in rows]).ids if twins else None
    return Batch(batch.ids, batch.labels.masked_fill(batch.labels == END_ID, IGNORED), instead)


def train(
    model: PreTrainedModel,
    words: PreTrainedTokenizerFast,
    table: UniqueTable,
    settings: Fit,
    *,
    checkpoint: Path,
    twins: bool = True,
) -> float:
    """Train what is not frozen in a model, in place.

    Args:
        twins: whether the input of the anchor's first layer is pulled towards what it is for the numbers; not for a
            model without a bridge there.
    """
    made: Callable[[Sequence[Exercise]], Batch] = lambda rows: encode_exercises(words, rows, twins=twins)  # noqa: E731
    return fit(model, lambda rng, _: exercise(rng, table), made, settings, checkpoint=checkpoint, title=checkpoint.stem)


def question(expression: Expression, keys: Sequence[str]) -> str:
    """An expression over keys."""
    return expression.written([written(key) for key in keys])
