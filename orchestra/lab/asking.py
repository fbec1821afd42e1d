"""Asks models the tasks' questions, and keeps every score as it comes."""

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from orchestra.io.checkpoint import write_atomically
from orchestra.io.merge import merge
from orchestra.lab.expressions import Example
from orchestra.lab.joining import cost
from orchestra.lab.measure import score
from orchestra.lab.models import placed
from orchestra.lab.specialists import Workshop, drawn
from orchestra.lab.strings import Task

Scores = dict[str, dict[str, Any]]
"""By task: `measure.Score.record()`."""


class Asker:
    """Scores models on fresh questions, or on those that settings are tuned on.

    Attributes:
        questions: how many are asked per task; `tuning`: likewise when something is tuned.
        data: how many examples per task a way of joining may learn from; the first of them are what is tuned on.
    """

    def __init__(self, shop: Workshop, *, questions: int, tuning: int, data: int) -> None:
        self.shop, self.questions, self.tuning, self.data = shop, questions, tuning, data
        self._path = shop.folder / "scores.json"
        self._kept: dict[str, Any] = json.loads(self._path.read_text()) if self._path.is_file() else {}

    def learnable(self, task: Task) -> list[Example]:
        """What may be learnt from."""
        return drawn(task, self.data, seed="data")

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """A JSON value that is worked out once."""
        if name not in self._kept:
            self._kept[name] = make()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(self._kept))
        return self._kept[name]

    def model(self, name: str, model: Callable[[], PreTrainedModel], tasks: Sequence[Task], *, tune: bool) -> Scores:
        """The scores of a model, which is made if it was not asked before."""
        made: list[PreTrainedModel] = []

        def ask(task: Task) -> dict[str, Any]:
            if not made:
                made.append(model())
            examples = self.learnable(task)[: self.tuning] if tune else drawn(task, self.questions, seed="test")
            return score(made[0], self.shop.words, examples).record()

        how = "tuning" if tune else "test"
        return {task.name: self.kept(f"{name}/{how}/{task.name}", partial(ask, task)) for task in tasks}

    def folder(self, folder: Path, tasks: Sequence[Task], *, tune: bool = False) -> Scores:
        """The scores of a model folder."""
        return self.model(folder.name, lambda: loaded(folder), tasks, tune=tune)

    def recipe(self, recipe: Mapping[str, Any], tasks: Sequence[Task], *, tune: bool = False) -> Scores:
        """The scores of a merge."""
        return self.model(self.name(recipe), lambda: self.merged(recipe), tasks, tune=tune)

    def name(self, recipe: Mapping[str, Any]) -> str:
        """What a merge is called: another recipe has another name."""
        text = json.dumps(recipe, sort_keys=True).replace(str(self.shop.folder), "")
        return f"{recipe['merge_method']}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def joined(self, name: str, model: Callable[[], Any], tasks: Sequence[Task]) -> dict[str, Any]:
        """The scores of a way to join specialists, and what it costs to run."""
        held: list[Any] = []

        def once() -> Any:
            held.extend([] if held else [model()])
            return held[0]

        scores = self.model(name, once, tasks, tune=False)
        return {"scores": scores, "mean": round(mean(scores), 2), **self.kept(f"{name}/cost", lambda: cost(once()))}

    def merged(self, recipe: Mapping[str, Any]) -> PreTrainedModel:
        """The model that a recipe makes."""
        folder = self.shop.folder / "merged"
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.redirect_stderr(io.StringIO()):
            merge(recipe, folder)
        model = loaded(folder)
        shutil.rmtree(folder)
        return model


def mean(scores: Scores) -> float:
    """The mean over tasks, in percent."""
    return sum(float(record["percent"]) for record in scores.values()) / len(scores)


def loaded(folder: Path) -> PreTrainedModel:
    """A model from its folder, in float32."""
    model: Any = LlamaForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    found: PreTrainedModel = placed(model.eval())
    return found
