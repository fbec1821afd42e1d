"""What a demo is made of: an anchor, and specialists of which each is trained and joined alone."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from transformers import PreTrainedTokenizerFast

from orchestra.lab import digits, keys, python, recital, tetum
from orchestra.lab.batches import Batch, Draw, encode
from orchestra.lab.domain import Domain
from orchestra.lab.fitting import Fit
from orchestra.lab.pieces import pieces
from orchestra.lab.table import Table, recite
from orchestra.lab.tokenizer import END, NUMBERS, SAID, build, characters

Encode = Callable[[PreTrainedTokenizerFast, Sequence[Any]], Batch]
"""Makes a batch of what a lesson draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of training.

    Attributes:
        lesson: draws what is learnt.
        encode: makes batches of it.
        answers: how long the fixed directions of a specialist's answers are (`models.freeze_answers`).
    """

    lesson: Draw
    fit: Fit
    encode: Encode = encode
    answers: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A small Llama and its lessons.

    Attributes:
        inner: width of the feed-forward layers, in widths of the model.
        tokenizer: makes what it reads with.
    """

    name: str
    layers: int
    inner: int
    seed: int
    stages: dict[str, Stage]
    width: int = 128
    tokenizer: Callable[[], PreTrainedTokenizerFast] = build


@dataclass(frozen=True, slots=True, kw_only=True)
class Specialist:
    """An augment, and how its stack is trained.

    Attributes:
        answers: tokens that it answers with, the numbers first.
        bundle: where the stack is kept, below `bridges/`.
        atoms: says how many atoms there are and how many of them bridges may see.
    """

    domain: Domain
    model: Model
    answers: tuple[str, ...]
    bridges: Fit
    bundle: str
    atoms: str

    @property
    def name(self) -> str:
        """The augment's name in the graph."""
        return self.domain.name

    @property
    def stack(self) -> dict[str, Any]:
        """One bridge, from where the value stands (after the last layer) to where all layers are left to compute."""
        return {"gate": "token", "pairs": [{"augment_layer": self.model.layers - 1, "anchor_layer": "embedding"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what comes out.

    Attributes:
        questions: how many are asked per cell of the results.
        gates: how the gates alone are trained on mixed expressions, to see what that adds.
    """

    name: str
    description: str
    anchor: Model
    specialists: tuple[Specialist, ...]
    questions: int = 1000
    gates: Fit = field(default_factory=lambda: Fit(steps=100, batch=100, rate=3e-3, muon=0.0, weight_decay=0.0))


def anchor() -> Model:
    """`digits`: first arithmetic, then arithmetic among words and code."""
    learn = Fit(steps=4500, batch=384, rate=1e-3, noise=0.2, warmup=100)
    read = Fit(steps=1600, batch=256, rate=5e-4, noise=0.3, warmup=50, seed=2)
    stages = {"learn": Stage(lesson=digits.lesson, fit=learn), "read": Stage(lesson=digits.reading, fit=read)}
    return Model(name="digits", layers=6, inner=3, seed=0, stages=stages)


def kv(table: Table | None = None) -> Specialist:
    """The private table."""
    table = table or Table()
    domain = keys.domain(table)
    settle = Stage(
        lesson=lambda rng, _: recite(rng, table, short=0.15),
        fit=Fit(steps=2000, batch=256, rate=3e-4, weight_decay=0.02, warmup=50, seed=3),
        answers=0.6,
    )
    among_text = Stage(
        lesson=lambda rng, _: recital.recite(rng, domain, longest=8, atoms=0.4),
        encode=partial(recital.encode, silence=False),
        fit=Fit(steps=1200, batch=128, rate=3e-4, weight_decay=0.02, warmup=50, seed=4),
        answers=0.6,
    )
    stages = _stages(lambda rng, _: recite(rng, table), encode, steps=(2200, 700), batch=256)
    stages |= {"settle": settle, "among-text": among_text}
    model = Model(name="kv", layers=3, inner=4, seed=1, stages=stages)
    return Specialist(
        domain=domain,
        model=model,
        answers=NUMBERS,
        bridges=replace(_BRIDGES, batch=128),
        bundle="kv-small/kv",
        atoms=f"{table.size:,} keys of 2 to 6 letters; bridges may see {len(table.seen):,} of them",
    )


def tetum_words() -> Specialist:
    """Number words of Tetum, read in word pieces."""
    learning = _speaking(tetum.DOMAIN, NUMBERS, longest=5, steps=(1000, 400), batch=96)
    model = Model(name="tetum", layers=3, inner=4, seed=2, stages=learning, tokenizer=partial(pieces, tetum.DOMAIN))
    return _specialist(tetum.DOMAIN, model, NUMBERS, atoms=tetum.ATOMS)


def python_atoms() -> Specialist:
    """What Python atoms are worth, read in characters."""
    learning = _speaking(python.DOMAIN, SAID, longest=5, steps=(2200, 700), batch=96)
    model = Model(name="python", layers=4, inner=4, seed=3, stages=learning, tokenizer=characters)
    return _specialist(python.DOMAIN, model, SAID, atoms=python.ATOMS)


def recipes() -> dict[str, Recipe]:
    """All demos by name."""
    small = Recipe(
        name="kv-small",
        description="An anchor that computes with digits, and a private table that it may look keys up in.",
        anchor=anchor(),
        specialists=(kv(),),
    )
    trio = replace(
        small,
        name="trio",
        description="An anchor that computes with digits, and three specialists that were trained and joined apart.",
        specialists=(kv(), tetum_words(), python_atoms()),
    )
    return {recipe.name: recipe for recipe in (small, trio)}


_BRIDGES = Fit(steps=800, batch=64, rate=3e-3, muon=0.0, weight_decay=0.01, warmup=50)


def _specialist(domain: Domain, model: Model, answers: tuple[str, ...], *, atoms: str) -> Specialist:
    """A specialist that says numbers where they are known, and the end everywhere else."""
    return Specialist(
        domain=domain,
        model=model,
        answers=(*answers, END),
        bridges=_BRIDGES,
        bundle=f"trio/{domain.name}",
        atoms=atoms,
    )


def _speaking(
    domain: Domain, answers: Sequence[str], *, longest: int, steps: tuple[int, int], batch: int
) -> dict[str, Stage]:
    """Lessons in atoms among other text."""

    def lesson(rng: random.Random, _: int) -> recital.Recital:
        return recital.recite(rng, domain, longest=longest)

    return _stages(lesson, partial(recital.encode, answers=answers), steps=steps, batch=batch)


def _stages(lesson: Draw, encode: Encode, *, steps: tuple[int, int], batch: int) -> dict[str, Stage]:
    """Learning, and polishing with shorter answers: the less states hold but the answer, the better they are read."""
    learn = Fit(steps=steps[0], batch=batch, rate=1e-3, weight_decay=0.02)
    polish = Fit(steps=steps[1], batch=batch, rate=3e-4, weight_decay=0.02, warmup=50, seed=1)
    return {
        "learn": Stage(lesson=lesson, encode=encode, fit=learn, answers=0.9),
        "polish": Stage(lesson=lesson, encode=encode, fit=polish, answers=0.6),
    }
