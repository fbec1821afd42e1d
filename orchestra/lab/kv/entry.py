"""The paper's Table 1 as a composition that has controls."""

import random
from dataclasses import replace
from functools import partial
from pathlib import Path

from orchestra.lab.controlled import Controlled, Task
from orchestra.lab.kv import bridges, scoring, words
from orchestra.lab.kv.reproduce import train_anchor, train_augment
from orchestra.lab.kv.settings import Settings, settings

_TUNE = 128
_SHARE = 4
"""Every row, the composition's too, has one in so many of the steps that bridges of Table 1 have: six are trained."""


def entry(output: Path, scale: str, made: Settings | None = None, *, questions: int = 300) -> Controlled:
    """Anchor and augment of `orchestra reproduce kv`, trained if they are not there, and what is asked of them.

    What is asked is the substitution, which bridges are for: the anchor does the rest.
    """
    made, folder, tokenizer = made or settings(scale), output / "kv" / scale, words.build()
    anchor, augment = train_anchor(folder, tokenizer, made), train_augment(folder, tokenizer, made)
    rng = random.Random("controls/tune")
    tune = [bridges.exercise(rng, made.table) for _ in range(_TUNE)]
    asked = {
        "unseen": scoring.over_keys(questions, made.table),
        "seen": scoring.over_keys(questions, made.table, seen=True),
    }
    digits = scoring.over_digits(questions)
    return Controlled(
        name="kv" if scale == "small" else f"kv-{scale}",
        about="25,000 keys onto unique integers from 1: the substitution in expressions of 3 to 6 keys with + - *.",
        anchor=anchor,
        augment=augment,
        bridges=bridges.fresh(made.augment.layers),
        vanilla=anchor,
        vanilla_is="the anchor itself, which has not seen the table",
        vanilla_bridges=bridges.fresh(made.anchor.layers),
        lesson=lambda rng, _: bridges.exercise(rng, made.table),
        encode=partial(bridges.encode_exercises, tokenizer),
        fit=replace(made.bridges, steps=max(1, made.bridges.steps // _SHARE)),
        tune=(bridges.encode_exercises(tokenizer, tune),),
        tasks={
            f"{name} keys": Task(ask=partial(scoring.substitutes, words=tokenizer, asked=some))
            for name, some in asked.items()
        },
        known={"digits, the whole answer": Task(ask=partial(scoring.right, words=tokenizer, asked=digits))},
        settings={"questions": questions, "seed": scoring.SEED},
    )
