"""The rows of a contest, each trained on the same records and asked the same: kept when done, resumable before."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from orchestra.errors import TrainError
from orchestra.io.checkpoint import write_atomically
from orchestra.lab.clock import timed
from orchestra.lab.contest import kept, learners, training
from orchestra.lab.contest.records import Batch, Record, batches
from orchestra.lab.contest.writing import completions

Pairs = Sequence[tuple[int, int]]
"""Layers of an augment, and the anchor's that they are read into."""
Row = dict[str, Any]
Begin = Callable[[learners.Learner], None]
FINE_TUNED = "fine-tuned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The prompts of a task.

    Attributes:
        most: new tokens of an answer; `stop`: the text that ends one.
    """

    prompts: Sequence[str]
    most: int
    stop: str = "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is the same for every row.

    Attributes:
        train, tune: records to learn from, and to tell a loss by.
        asked: by task, what is answered in the end.
        rate: peak learning rate of bridges and LoRA; `tuned_rate`: of fine-tuning.
        prose: how many texts tell what is left of the anchor's English.
        tail: see `tail` in a graph's document, for an augment with a tokenizer of its own.
    """

    train: Sequence[Record]
    tune: Sequence[Record]
    asked: Mapping[str, Asked]
    epochs: int = 1
    batch: int = 8
    rate: float = 1e-3
    tuned_rate: float = 5e-5
    prose: int = 100
    tail: str = "held"


class Contest:
    """Fills rows in.

    Args:
        anchor: the anchor's folder.
        folder: where rows and checkpoints are kept, those of other rules and settings apart from these.
        settings: what decides the rows beside the rules.

    Attributes:
        work: where those of these rules and settings are kept.
    """

    def __init__(self, rules: Rules, anchor: Path, folder: Path, settings: object) -> None:
        self.rules, self.anchor = rules, anchor
        self.work = folder / digest(rules, anchor.name, settings)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.words = _tokenizer(anchor)

    def rows(self, makers: Mapping[str, Callable[[], Row]], only: Sequence[str] = ()) -> dict[str, Row]:
        """Rows in the order of their makers, made where they are missing.

        Args:
            only: make no others; those that are there are given all the same.

        Raises:
            TrainError: `only` names a row that there is not.
        """
        if strangers := [name for name in only if name not in makers]:
            raise TrainError(f"{strangers[0]!r} is no row; rows are {', '.join(makers)}.")
        for name, make in makers.items():
            if not only or name in only:
                self._fill(name, make)
        there = [name for name in makers if self._place(name).is_file()]
        return {name: json.loads(self._place(name).read_text("utf-8")) for name in there}

    def _place(self, name: str) -> Path:
        return self.work / f"{name.replace(' ', '-')}.json"

    def _fill(self, name: str, make: Callable[[], Row]) -> None:
        place = self._place(name)
        if not place.is_file():
            clock = place.with_suffix(".time")
            with timed(clock):
                row = make()
            row["cpu_minutes"] = round(float(clock.read_text()) / 60, 1)
            write_atomically(place, json.dumps(row, ensure_ascii=False, indent=1))

    def alone(self, folder: Path, shown: Mapping[str, str]) -> Row:
        """A model as it is.

        Args:
            shown: by task, what stands before each prompt: examples.
        """
        model = learners.plain(folder, self.device)
        row: Row = {}
        if folder == self.anchor:
            row |= {"tune_loss": self._tune_loss(learners.plain_reader(model)), "english": self._english(model)}
        return row | {"outputs": self._answers(model, _tokenizer(folder), shown)}

    def fine_tuned(self) -> Row:
        """The anchor, all weights of which learn."""
        return self._trained(FINE_TUNED, learners.whole(self.anchor, self.device), self.rules.tuned_rate)

    def lora(self, num_weights: int) -> Row:
        """A LoRA of the anchor with as many parameters, or a few more."""
        return self._trained("lora", learners.lora(self.anchor, num_weights=num_weights, device=self.device))

    def bridges(self, augment: Path, pairs: Pairs, *, context: str = "refresh") -> learners.Learner:
        """A composition with fresh bridges; an augment with the anchor's own tokenizer has no tail."""
        torch.manual_seed(0)
        recipe = {"pairs": [{"augment_layer": low, "anchor_layer": high} for low, high in pairs], "gate": "none"}
        tail = "held" if augment == self.anchor else self.rules.tail
        return learners.bridges(self.anchor, augment, recipe, context=context, tail=tail, device=self.device)

    def bridged(
        self, name: str, augment: Path, pairs: Pairs, *, begin: Begin | None = None, context: str = "refresh"
    ) -> Row:
        """A composition.

        Args:
            begin: what is done to the fresh bridges first.
        """
        learner = self.bridges(augment, pairs, context=context)
        if begin is not None:
            begin(learner)
        return self._trained(name, learner)

    def batches(self, records: Sequence[Record]) -> list[Batch]:
        """Records as the anchor reads them."""
        return [batch.to(self.device) for batch in batches(self.words, records, size=self.rules.batch)]

    def _trained(self, name: str, learner: learners.Learner, rate: float | None = None) -> Row:
        learnt = self.batches(self.rules.train)
        how = training.Settings(epochs=self.rules.epochs, rate=rate or self.rules.rate)
        place = self.work / f"{name.replace(' ', '-')}.pt"
        training.fit(learner.weights, learner.prepare(learnt), learnt, how, place=place)
        return {
            "num_weights": learner.num_weights,
            "rate": how.rate,
            "tune_loss": self._tune_loss(learner.prepare),
            "english": self._english(learner.model),
            "outputs": self._answers(learner.model, self.words, {}),
        }

    def _tune_loss(self, prepare: Callable[[Sequence[Batch]], training.Logits]) -> float:
        """Nats per token of the completions of records that nothing learns from, with nothing in front of them."""
        tune = self.batches(self.rules.tune)
        return round(training.mean_loss(prepare(tune), tune), 4)

    def _english(self, model: Any) -> float:
        """What is left of the anchor's English: nats per token of texts that have nothing to do with the records."""
        return round(kept.loss(model, self.words, kept.texts(self.rules.prose)), 4)

    def _answers(self, model: Any, words: PreTrainedTokenizerBase, shown: Mapping[str, str]) -> dict[str, list[str]]:
        def answered(task: str, asked: Asked) -> list[str]:
            prompts = [shown.get(task, "") + prompt for prompt in asked.prompts]
            return completions(model, words, prompts, most=asked.most, stop=asked.stop)

        return {task: answered(task, asked) for task, asked in self.rules.asked.items()}


def digest(*told: object) -> str:
    """What tells these settings from others, by how they are printed."""
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def _tokenizer(place: Path) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(place)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
