"""`orchestra check`: every problem of a graph at once. No torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from orchestra import paper
from orchestra.cli import hub
from orchestra.draw import reading
from orchestra.wiring import ANCHOR


def check(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    remote: Annotated[bool, typer.Option("--remote", help="Fetch from the Hub what is read before weights.")] = False,
) -> None:
    """List every problem of a graph, without loading a weight."""
    plan = paper.plan(graph, hub=hub(remote))
    names = {node.name: f"{node.name} (reads {reading(node)})" for node in plan.graph.augments}
    count = len(plan.graph.sites)
    if plan.graph.deep:
        bridges = "1 bridge leads" if count == 1 else f"{count} bridges lead"
        feeds = (f"from {names[name]} into {_listed(into)}" for name, into in plan.graph.feeds.items())
        typer.echo(f"{graph}: fine. {bridges} {', '.join(feeds)}.")
    else:
        bridges = "1 bridge joins" if count == 1 else f"{count} bridges join"
        typer.echo(f"{graph}: fine. {bridges} the anchor with {', '.join(names.values())}.")


def _listed(into: Sequence[str]) -> str:
    """Models that are fed, in words."""
    return " and ".join("the anchor" if name == ANCHOR else name for name in into)
