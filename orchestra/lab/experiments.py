"""Every experiment that can be reproduced: its name, what it is, how it is run and how its results are told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from orchestra.lab import joined, joined_report, merging, merging_report, reproduce, results
from orchestra.lab.kv import report as kv_report
from orchestra.lab.kv import reproduce as kv
from orchestra.lab.recipe import Recipe, recipes


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
    """

    about: str
    run: Callable[[Path, Scale], dict[str, Any]]
    tell: Callable[[dict[str, Any]], str]
    scales: tuple[Scale, ...] = (Scale.SMALL,)


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
        "joined": Experiment(
            about="stacks trained apart and joined: one to five",
            run=lambda output, _: joined.reproduce(output),
            tell=joined_report.report,
        ),
    }


def _demo(recipe: Recipe) -> Experiment:
    return Experiment(about=recipe.description, run=partial(_run_demo, recipe), tell=results.report)


def _run_demo(recipe: Recipe, output: Path, _: Scale) -> dict[str, Any]:
    return reproduce.reproduce(output, recipe)
