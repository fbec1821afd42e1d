"""`orchestra reproduce`: train a shipped demo again, from nothing."""

import json as jsons
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestra.errors import TrainError
from orchestra.lab import controls, merging
from orchestra.lab import reproduce as lab
from orchestra.lab.controlled import EXPERIMENTS
from orchestra.lab.controls_report import report as controls_report
from orchestra.lab.experiment import Experiment
from orchestra.lab.merging_report import report as merging_report
from orchestra.lab.recipe import recipes
from orchestra.lab.results import report


class Demo(StrEnum):
    """What can be reproduced."""

    KV_SMALL = "kv-small"
    TRIO = "trio"
    MERGING = "merging"
    CONTROLS = "controls"


def reproduce(
    name: Annotated[Demo, typer.Argument(help="Which demo.")],
    output: Annotated[Path, typer.Option(help="Where graphs/, bridges/ and benchmarks/results/ are written.")] = Path(
        "runs"
    ),
    only: Annotated[
        list[str] | None, typer.Option(help=f"Of the controls, which of {', '.join(EXPERIMENTS)}; repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Train a shipped demo again, from nothing; interrupted, it goes on from its last checkpoint."""
    if name is Demo.MERGING:
        results, told = merging.reproduce(output), merging_report
    elif name is Demo.CONTROLS:
        results, told = controls.reproduce(output, _chosen(only)), controls_report
    else:
        results, told = lab.reproduce(output, recipes()[name]), report
    typer.echo(jsons.dumps(results, indent=2) if json else told(results))


def _chosen(only: list[str] | None) -> dict[str, Callable[[Path], Experiment]]:
    for name in only or ():
        if name not in EXPERIMENTS:
            raise TrainError(f"no experiment with controls is called {name!r}; there are {', '.join(EXPERIMENTS)}.")
    return {name: make for name, make in EXPERIMENTS.items() if not only or name in only}
