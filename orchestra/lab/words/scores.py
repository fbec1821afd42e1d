"""Asks every model the same questions, column by column, and keeps each score as it comes."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from orchestra.io.checkpoint import write_atomically
from orchestra.lab import written
from orchestra.lab.exercises import Part, example
from orchestra.lab.expressions import Example
from orchestra.lab.measure import score
from orchestra.lab.words.brought import brought
from orchestra.lab.words.lessons import FOREIGN, columns, stories
from orchestra.lab.words.report import report
from orchestra.lab.words.settings import SMALL, Settings
from orchestra.lab.words.stories import Story
from orchestra.lab.words.training import Workshop

MODELS = ("augment", "anchor", "composed", "tuned")


def reproduce(output: Path, settings: Settings = SMALL, *, name: str = "words") -> dict[str, Any]:
    """Train and measure everything.

    Args:
        output: where `benchmarks/results/` is written, and `runs/` for what resumes.
        name: what the results and the folder below `runs/` are called.

    Returns:
        The results, as written to `benchmarks/results/NAME.json`.
    """
    shop = Workshop(output / "runs" / name, settings)
    made: dict[str, Callable[[], PreTrainedModel]] = {
        "augment": lambda: shop.model(shop.augment()),
        "anchor": lambda: shop.model(shop.anchor()),
        "composed": shop.composed,
        "tuned": lambda: shop.model(shop.tuned()),
    }
    kept = _Kept(shop.folder / "scores.json")
    results: dict[str, Any] = {
        "name": name,
        "questions": settings.questions,
        "scores": {model: kept.scores(shop, model, make) for model, make in made.items()},
        "twins": kept.scores(shop, "twins", made["anchor"], twin=True),
        "brought": kept.once("brought", lambda: _brought(shop)),
    }
    results["cpu_minutes"] = shop.cpu_minutes()
    written.write(output, name, json.dumps(results, indent=2), report(results))
    return results


def question(told: Story, *, twin: bool = False) -> Example:
    """A story as it is asked; its twin has every word in English, in the order of the language."""
    read, answer = told.exercise
    return example((Part(read.twin, read.twin), answer) if twin else (read, answer))


class _Kept:
    """Scores that are worked out once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._found:
            self._found[name] = make()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(self._found))
        return self._found[name]

    def scores(
        self, shop: Workshop, name: str, make: Callable[[], PreTrainedModel], *, twin: bool = False
    ) -> dict[str, Any]:
        """The scores of a model in every column; it is made if it was not asked before."""
        made: list[PreTrainedModel] = []

        def ask(key: str) -> dict[str, Any]:
            made.extend([] if made else [make()])
            told = stories(columns()[key], shop.settings)
            return score(made[0], shop.words, [question(one, twin=twin) for one in told]).record()

        return {key: self.once(f"{name}/{key}", partial(ask, key)) for key in columns()}


def _brought(shop: Workshop) -> dict[str, Any]:
    model = shop.composed()
    return {language: {kind: one.record() for kind, one in brought(model, language).items()} for language in FOREIGN}
