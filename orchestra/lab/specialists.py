"""One small base, and specialists that are fine-tuned from it on one task each: what the merges are made of."""

import random
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from transformers import LlamaForCausalLM

from orchestra.lab.batches import Draw, encode
from orchestra.lab.clock import timed
from orchestra.lab.expressions import Example
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.models import placed, small_llama
from orchestra.lab.strings import TASKS, Task, mixed
from orchestra.lab.tokenizer import characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large the models are, and how long they learn.

    Attributes:
        own: the share of a specialist's examples that are of its own task; the others are what the base learnt from.
    """

    width: int = 128
    layers: int = 4
    inner: int = 384
    own: float = 0.7
    base: Fit = field(default_factory=lambda: Fit(steps=400, batch=128, rate=1e-3, warmup=100))
    special: Fit = field(
        default_factory=lambda: Fit(steps=150, batch=64, rate=3e-4, muon=0.0, weight_decay=0.01, warmup=20, seed=1)
    )


class Workshop:
    """Trains what is not there yet, and counts the CPU seconds.

    Attributes:
        folder: where the models are, and what trainings resume from.
    """

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self.sizes, self.words = folder, sizes, characters()

    def base(self) -> Path:
        """The base, which learns a little of every task."""
        return self._once("base", self._fresh, lambda rng, _: mixed(rng), self.sizes.base)

    def specialist(self, task: Task, *, seed: int = 1) -> Path:
        """The base, fine-tuned on one task; another seed draws other examples."""
        name = task.name if seed == self.sizes.special.seed else f"{task.name}-{seed}"
        settings = replace(self.sizes.special, seed=seed)
        share = self.sizes.own

        def lesson(rng: random.Random, _: int) -> Example:
            return task.example(rng) if rng.random() < share else mixed(rng)

        return self._once(name, self._from_base, lesson, settings)

    def tuned(self, name: str, examples: list[Example], settings: Fit) -> Path:
        """The base, fine-tuned on given examples."""
        return self._once(name, self._from_base, lambda rng, _: rng.choice(examples), settings)

    def _fresh(self) -> LlamaForCausalLM:
        sizes = self.sizes
        return small_llama(self.words, width=sizes.width, layers=sizes.layers, inner=sizes.inner, seed=sizes.base.seed)

    def _from_base(self) -> LlamaForCausalLM:
        return LlamaForCausalLM.from_pretrained(self.base(), local_files_only=True)

    def _once(self, name: str, start: Callable[[], LlamaForCausalLM], lesson: Draw, settings: Fit) -> Path:
        folder = self.folder / name
        if folder.is_dir():
            return folder
        model = placed(start())
        with self.timed(name):
            made = partial(encode, self.words)
            fit(model, lesson, made, settings, checkpoint=self.folder / f"{name}.pt", title=name)
        unfinished = folder.with_name(f".{name}.partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        model.save_pretrained(unfinished)
        self.words.save_pretrained(unfinished)
        unfinished.rename(folder)
        return folder

    def timed(self, name: str) -> AbstractContextManager[None]:
        """Add the CPU seconds of a block to those of a training."""
        return timed(self.folder / f"{name}.time")

    def cpu_seconds(self) -> dict[str, float]:
        """What each training took."""
        return {clock.stem: float(clock.read_text()) for clock in sorted(self.folder.glob("*.time"))}


def drawn(task: Task, count: int, *, seed: str) -> list[Example]:
    """Examples of a task, the same on every run."""
    rng = random.Random(f"{seed}/{task.name}")
    return [task.example(rng) for _ in range(count)]


def chosen(names: tuple[str, ...]) -> tuple[Task, ...]:
    """Tasks by name."""
    return tuple(task for name in names for task in TASKS if task.name == name)
