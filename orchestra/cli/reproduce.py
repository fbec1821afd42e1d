"""`orchestra reproduce`: train a shipped demo again, from nothing."""

import json as jsons
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestra.lab import merging
from orchestra.lab import reproduce as lab
from orchestra.lab.merging_report import report as merging_report
from orchestra.lab.recipe import recipes
from orchestra.lab.results import report


class Demo(StrEnum):
    """What can be reproduced."""

    KV_SMALL = "kv-small"
    TRIO = "trio"
    MERGING = "merging"


def reproduce(
    name: Annotated[Demo, typer.Argument(help="Which demo.")],
    output: Annotated[Path, typer.Option(help="Where graphs/, bridges/ and benchmarks/results/ are written.")] = Path(
        "runs"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Train a shipped demo again, from nothing; interrupted, it goes on from its last checkpoint."""
    if name is Demo.MERGING:
        results, told = merging.reproduce(output), merging_report
    else:
        results, told = lab.reproduce(output, recipes()[name]), report
    typer.echo(jsons.dumps(results, indent=2) if json else told(results))
