"""The word problems as a composition that has controls."""

import random
from functools import partial
from pathlib import Path

from orchestra.lab.batches import encode
from orchestra.lab.controlled import Controlled, exact
from orchestra.lab.exercises import encode_with_twins, example
from orchestra.lab.words import lessons
from orchestra.lab.words.scores import question
from orchestra.lab.words.settings import LARGE, SMALL, Settings
from orchestra.lab.words.training import Workshop

_TUNE = 256


def entry(output: Path, settings: Settings = SMALL, *, name: str = "words") -> Controlled:
    """Anchor and augment of the word problems, trained if they are not there, and what is asked of them."""
    shop = Workshop(output / "runs" / name, settings)
    rng = random.Random("controls/tune")
    tune = [example(lessons.bridges(settings, rng)) for _ in range(_TUNE)]
    asked = {
        key: exact(shop.words, [question(told) for told in lessons.stories(column, settings)])
        for key, column in lessons.columns().items()
    }
    return Controlled(
        name=name,
        about="Word problems in Tetum and Spanish, for an anchor that counts in English and has seen some Spanish.",
        anchor=shop.anchor(),
        augment=shop.augment(),
        bundle=shop.bundle(),
        bridges=settings.stack,
        vanilla=shop.anchor(),
        vanilla_is="the anchor itself, which has read no Tetum",
        vanilla_bridges=settings.stack
        | {"pairs": [{"augment_layer": settings.layers - 1, "anchor_layer": "embedding"}]},
        lesson=partial(lessons.bridges, settings),
        encode=partial(encode_with_twins, shop.words),
        fit=settings.bridges,
        tune=(encode(shop.words, tune),),
        tasks={key: task for key, task in asked.items() if key != "english"},
        known={"english": asked["english"]},
        settings={"questions": settings.questions},
    )


def of_scale(output: Path, scale: str) -> Controlled:
    """The word problems at a scale."""
    return entry(output, LARGE, name="words-large") if scale == "large" else entry(output)
