"""The compositions that have controls, by name; each is made when it is asked for."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from orchestra.lab import digits, tokenizer
from orchestra.lab.batches import encode
from orchestra.lab.controlled import Controlled, exact, nats
from orchestra.lab.domain import Domain
from orchestra.lab.exercises import encode_with_twins, example, exercise, question
from orchestra.lab.expressions import Example
from orchestra.lab.kv import entry as kv_entry
from orchestra.lab.recipe import Recipe, recipes
from orchestra.lab.reproduce import train
from orchestra.lab.results import SEED
from orchestra.lab.words import entry as words_entry

_TEXTS = 500  # of the anchor's own, on which what was forgotten is measured
_TUNE = 256


def of_demo(output: Path, recipe: Recipe, name: str, *, questions: int = 500) -> Controlled:
    """One specialist of a demo, joined alone, as it ships."""
    train(output, replace(recipe, specialists=tuple(one for one in recipe.specialists if one.name == name)))
    (one,) = (one for one in recipe.specialists if one.name == name)
    words, models = tokenizer.build(), output / "graphs/models"
    rng = random.Random("controls/tune")
    tune = [example(exercise(rng, one.domain)) for _ in range(_TUNE)]
    rng = random.Random(f"{SEED}/controls/{name}")

    def asked(domains: Sequence[Domain], *, working: bool, seen: bool = False) -> list[Example]:
        return [example(question(rng, domains, working=working, seen=seen)) for _ in range(questions)]

    own = {
        "unseen": asked([one.domain], working=False),
        "unseen, with working": asked([one.domain], working=True),
        "seen": asked([one.domain], working=False, seen=True),
    }
    known = {"digits": asked([], working=False), "digits, with working": asked([], working=True)}
    last = {"augment_layer": recipe.anchor.layers - 1, "anchor_layer": "embedding"}
    return Controlled(
        name=name if len(recipe.specialists) > 1 else recipe.name,
        about=f"{recipe.anchor.name} x {name}: expressions over {one.atoms}.",
        anchor=models / recipe.anchor.name,
        augment=models / one.model.name,
        bundle=output / "bridges" / one.bundle,
        bridges=one.stack,
        vanilla=models / recipe.anchor.name,
        vanilla_is="the anchor itself, which has not seen the augment's domain",
        vanilla_bridges={**one.stack, "pairs": [last]},
        lesson=lambda rng, _: exercise(rng, one.domain),
        encode=partial(encode_with_twins, words),
        fit=one.bridges,
        tune=(encode(words, tune),),
        tasks={task: exact(words, examples) for task, examples in own.items()},
        known={task: exact(words, examples) for task, examples in known.items()}
        | {"loss on its own texts": nats(words, [digits.reading(rng, 0) for _ in range(_TEXTS)])},
        alone={task: exact(words, examples) for task, examples in own.items()} if name == "kv" else {},
        settings={"questions": questions, "texts": _TEXTS, "seed": SEED},
    )


Entries = Mapping[str, Callable[[Path, str], Controlled]]
"""By name, what makes one, of where things are written and a scale."""

ENTRIES: Entries = {
    "kv-small": lambda output, _: of_demo(output, recipes()["kv-small"], "kv"),
    "tetum": lambda output, _: of_demo(output, recipes()["trio"], "tetum"),
    "words": words_entry.of_scale,
    "kv": kv_entry.entry,
}
"""To add one: the docstring of `lab.controls`."""
