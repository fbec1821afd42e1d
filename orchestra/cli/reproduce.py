"""`orchestra reproduce`: train a shipped demo again, from nothing."""

import json as jsons
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestra.lab import reproduce as lab
from orchestra.lab.recipe import recipes
from orchestra.lab.results import report


class Demo(StrEnum):
    """What can be reproduced."""

    KV_SMALL = "kv-small"
    TRIO = "trio"


def reproduce(
    name: Annotated[Demo, typer.Argument(help="Which demo.")],
    output: Annotated[Path, typer.Option(help="Where graphs/, bridges/ and benchmarks/results/ are written.")] = Path(
        "runs"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Train a shipped demo again, from nothing; interrupted, it goes on from its last checkpoint."""
    results = lab.reproduce(output, recipes()[name])
    typer.echo(jsons.dumps(results, indent=2) if json else report(results))
