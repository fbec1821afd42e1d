"""Trains what is not there yet: the anchor, the augment, the stack between them, and the anchor that is fine-tuned."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedModel

from orchestra.api import load
from orchestra.lab.asking import loaded
from orchestra.lab.batches import Encode, encode
from orchestra.lab.clock import timed
from orchestra.lab.exercises import encode_with_twins, example
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.models import freeze_answers, small_llama, write_number_embeddings
from orchestra.lab.words import glossing, lessons
from orchestra.lab.words.settings import Settings
from orchestra.lab.words.vocabulary import build, words_of
from orchestra.runtime.model import ComposedModel

AUGMENT = "glosses"
"""The augment's name in the graph."""
_TRAINED = ("anchor", "augment-learn", "augment-polish", "bridges", "tuned")


class Workshop:
    """Models, bundles and what trainings resume from, in one folder.

    Attributes:
        words: the tokenizer of all models.
        device: where models learn and are asked: a GPU where there is one.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings, self.words = folder, settings, build()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def anchor(self) -> Path:
        """The model that can count and reads English, and a little Spanish."""

        def make() -> LlamaForCausalLM:
            settings = self.settings
            model = self._fresh(width=settings.width, layers=settings.layers, seed=settings.anchor.seed)
            write_number_embeddings(model, self.words)
            start = model.model.embed_tokens.weight.detach().clone()
            lesson = partial(lessons.anchors, settings)
            self._fit(model, "anchor", lambda rng, step: example(lesson(rng, step)), self._plain, settings.anchor)
            self._empty_unread(model.cpu(), start)
            return model

        return self._once("anchor", make)

    def augment(self) -> Path:
        """The model that reads Tetum and Spanish and says the English of each word."""

        def make() -> LlamaForCausalLM:
            settings = self.settings
            width, layers = settings.augment_width, settings.augment_layers
            model = self._fresh(width=width, layers=layers, seed=settings.learn.seed)
            for name, size, stage in (("learn", 0.9, settings.learn), ("polish", 0.6, settings.polish)):
                freeze_answers(model.cpu(), glossing.answers(self.words), size=size)
                encoded = partial(glossing.encode, self.words)
                lesson = partial(glossing.glossed, events=settings.events)
                self._fit(model, f"augment-{name}", lambda rng, _, draw=lesson: draw(rng), encoded, stage)
            return model

        return self._once("augment", make)

    def tuned(self) -> Path:
        """The anchor, fine-tuned on what bridges learn from."""

        def make() -> LlamaForCausalLM:
            model: Any = loaded(self.anchor())
            lesson = partial(lessons.bridges, self.settings)
            self._fit(model, "tuned", lambda rng, step: example(lesson(rng, step)), self._plain, self.settings.tune)
            found: LlamaForCausalLM = model
            return found

        return self._once("tuned", make)

    def bundle(self, augment: Path | None = None, *, name: str = "bridges") -> Path:
        """The stack between the anchor and an augment that reads with the same tokenizer.

        Args:
            augment: default: the one that knows the languages.
            name: what the bundle and its checkpoint are called.
        """
        folder = self.folder / name
        if not folder.is_dir():
            model = load(self.document(augment))
            self._fit(
                model,
                name,
                partial(lessons.bridges, self.settings),
                partial(encode_with_twins, self.words),
                self.settings.bridges,
            )
            model.save_stack(AUGMENT, folder)
        return folder

    def composed(self, augment: Path | None = None, *, name: str = "bridges") -> ComposedModel:
        """Anchor and augment with their trained stack."""
        return load(self.document(augment, self.bundle(augment, name=name)))

    def document(self, augment: Path | None = None, bundle: Path | None = None) -> dict[str, Any]:
        """The graph, with a fresh stack where no bundle is named."""
        bridges = str(bundle) if bundle else self.settings.stack
        placed = {"dtype": "float32", "device": self.device}
        return {
            "format": "orchestra/graph@1",
            "anchor": {"model": str(self.anchor()), **placed},
            "augments": {
                AUGMENT: {"model": str(augment or self.augment()), **placed, "bridges": bridges},
            },
        }

    def model(self, folder: Path) -> PreTrainedModel:
        """A model from its folder."""
        found: Any = loaded(folder)
        placed: PreTrainedModel = found.to(self.device)
        return placed

    def cpu_minutes(self) -> dict[str, float]:
        """What each training of the table took."""
        clocks = [self.folder / f"{name}.time" for name in _TRAINED]
        return {clock.stem: round(float(clock.read_text()) / 60, 1) for clock in clocks if clock.is_file()}

    @torch.no_grad()
    def _empty_unread(self, model: LlamaForCausalLM, start: Tensor) -> None:
        """Empty the rows of foreign words that training never touched.

        A fresh row is as long as a learnt one, and a bridge can only add to it: what it brings would come with noise of
        its own size at every word that it has not met, and it would learn by heart how to undo that of those it has.
        """
        rows: Any = model.model.embed_tokens.weight
        foreign = [self.words.get_vocab()[word] for language in lessons.FOREIGN for word in words_of(language)]
        unread = [token for token in foreign if torch.equal(rows[token], start[token])]
        rows[unread] = 0.0

    @property
    def _plain(self) -> Encode:
        return partial(encode, self.words)

    def _fresh(self, *, width: int, layers: int, seed: int) -> LlamaForCausalLM:
        return small_llama(self.words, width=width, layers=layers, inner=3 * width, seed=seed)

    def _fit(self, model: PreTrainedModel, name: str, lesson: Any, encoded: Encode, settings: Fit) -> None:
        placed: Any = model
        with timed(self.folder / f"{name}.time"):
            fit(placed.to(self.device), lesson, encoded, settings, checkpoint=self.folder / f"{name}.pt", title=name)

    def _once(self, name: str, make: Callable[[], LlamaForCausalLM]) -> Path:
        folder = self.folder / name
        if not folder.is_dir():
            model, unfinished = make(), folder.with_name(f".{name}.partial")
            shutil.rmtree(unfinished, ignore_errors=True)
            model.save_pretrained(unfinished)
            self.words.save_pretrained(unfinished)
            unfinished.rename(folder)
        return folder
