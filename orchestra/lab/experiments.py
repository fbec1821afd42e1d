"""Every experiment that can be reproduced: its name, what it is, how it is run and how its results are told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orchestra.errors import TrainError
from orchestra.lab import controls, controls_report, joined, joined_report, merging, merging_report, reproduce, results
from orchestra.lab.control_entries import ENTRIES, Entries
from orchestra.lab.kv import report as kv_report
from orchestra.lab.kv import reproduce as kv
from orchestra.lab.recipe import Recipe, recipes
from orchestra.lab.words import report as words_report
from orchestra.lab.words import scores as words
from orchestra.lab.words import settings as words_settings
from orchestra.lab.written import named

CONTESTED = ("fine-tuned", "lora", "random augment", "vanilla augment", "prompt only", "composition")
"""The rows of a contest that are trained."""


class Scale(StrEnum):
    """How much is trained: what two cores do in two hours, or what a GPU does."""

    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment.

    Attributes:
        about: what it is, in a few words.
        run: trains and measures into a folder at a scale; returns the results as JSON values.
        tell: the results' tables in Markdown.
        scales: those it knows.
        parts: what can be run of it without the rest, and by what; empty where nothing can.
    """

    about: str
    run: Callable[[Path, Scale], dict[str, Any]]
    tell: Callable[[dict[str, Any]], str]
    scales: tuple[Scale, ...] = (Scale.SMALL,)
    parts: Mapping[str, Callable[[Path, Scale], dict[str, Any]]] = field(default_factory=dict)


def experiments() -> Mapping[str, Experiment]:
    """All of them by name."""
    return {
        **{name: _demo(recipe) for name, recipe in recipes().items()},
        "kv": Experiment(
            about="25,000 keys onto unique integers, with + - and *: the paper's Table 1",
            run=kv.reproduce,
            tell=kv_report.report,
            scales=tuple(Scale),
        ),
        "merging": Experiment(
            about="specialists merged, composed, or averaged",
            run=lambda output, _: merging.reproduce(output),
            tell=merging_report.report,
        ),
        "translation": _contest("translation", "SmolLM2 translates out of Macedonian through gemma-3-270m"),
        "code": _contest("code", "SmolLM2 completes, writes and explains code through a small model of Python"),
        "joined": Experiment(
            about="stacks trained apart and joined: one to five",
            run=_run_joined,
            tell=joined_report.report,
            scales=tuple(Scale),
        ),
        "words": Experiment(
            about="word problems in a language that the anchor never saw, and in one of which it saw some",
            run=_run_words,
            tell=words_report.report,
            scales=(Scale.SMALL, Scale.LARGE),
        ),
        "controls": Experiment(
            about="what simpler methods would have given, on the same data and steps",
            run=partial(_run_controls, ENTRIES),
            tell=controls_report.report,
            scales=tuple(Scale),
            parts={name: partial(_run_controls, {name: make}) for name, make in ENTRIES.items()},
        ),
    }


def _run_controls(entries: Entries, output: Path, scale: Scale) -> dict[str, Any]:
    return controls.reproduce(output, entries, scale=scale)


def _demo(recipe: Recipe) -> Experiment:
    return Experiment(about=recipe.description, run=partial(_run_demo, recipe), tell=results.report)


def _run_demo(recipe: Recipe, output: Path, _: Scale) -> dict[str, Any]:
    return reproduce.reproduce(output, recipe)


def _run_joined(output: Path, scale: Scale) -> dict[str, Any]:
    settings = joined.LARGE if scale is Scale.LARGE else joined.Experiment()
    return joined.reproduce(output, settings, name=named("joined", scale))


def _run_words(output: Path, scale: Scale) -> dict[str, Any]:
    settings = words_settings.LARGE if scale is Scale.LARGE else words_settings.SMALL
    return words.reproduce(output, settings, name=named("words", scale))


def _contest(name: str, about: str) -> Experiment:
    """One whose rows are trained each for itself: they may be filled in by several processes."""

    def run(output: Path, scale: Scale, *rows: str) -> dict[str, Any]:
        module = _module(name, "experiment")
        settings = module.LARGE if scale is Scale.LARGE else module.Settings()
        results: dict[str, Any] = module.reproduce(output, settings, rows=rows, name=named(name, scale))
        return results

    def tell(results: dict[str, Any]) -> str:
        told: str = _module(name, "table").markdown(results)
        return told

    def only(row: str) -> Callable[[Path, Scale], dict[str, Any]]:
        return lambda output, scale: run(output, scale, row)

    parts = {row: only(row) for row in CONTESTED}
    return Experiment(about=about, run=run, tell=tell, scales=(Scale.SMALL, Scale.LARGE), parts=parts)


def _module(experiment: str, module: str) -> Any:
    """A module of an experiment that needs what not everybody has installed.

    Raises:
        TrainError: peft, sacrebleu, gguf or accelerate is missing.
    """
    missing = [name for name in ("peft", "sacrebleu", "gguf", "accelerate") if find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        raise TrainError(f"the experiment {experiment} needs {needed}: pip install 'orchestra-lm[eval,gguf]'.")
    return import_module(f"orchestra.lab.{experiment}.{module}")
