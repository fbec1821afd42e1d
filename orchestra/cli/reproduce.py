"""`orchestra reproduce`: train a shipped demo or run an experiment again, from nothing."""

import json as jsons
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestra.lab.experiments import Scale, experiments


def reproduce(
    name: Annotated[str, typer.Argument(help=f"Which experiment: {', '.join(experiments())}.")],
    output: Annotated[Path, typer.Option(help="Where graphs/, bridges/ and benchmarks/results/ are written.")] = Path(
        "runs"
    ),
    scale: Annotated[Scale, typer.Option(help="For two cores and two hours, or for a GPU.")] = Scale.SMALL,
    only: Annotated[list[str] | None, typer.Option(help="A part of it, where it has parts; repeatable.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Run an experiment again, from nothing; interrupted, it goes on from its last checkpoint."""
    known = experiments()
    if name not in known:
        raise typer.BadParameter(f"{name!r} is no experiment; known are {', '.join(known)}", param_hint="NAME")
    chosen = known[name]
    if scale not in chosen.scales:
        raise typer.BadParameter(f"{name} has only {', '.join(chosen.scales)}", param_hint="--scale")
    runs = [chosen.run]
    if only:
        if strangers := [part for part in only if part not in chosen.parts]:
            has = f"only {', '.join(chosen.parts)}" if chosen.parts else "no parts"
            raise typer.BadParameter(f"{strangers[0]!r} is no part of {name}, which has {has}", param_hint="--only")
        runs = [chosen.parts[part] for part in only]
    results: dict[str, Any] = {}
    for run in runs:
        results = run(output, scale)
    typer.echo(jsons.dumps(results, indent=2) if json else chosen.tell(results))
