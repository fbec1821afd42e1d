"""`orchestra check`: every problem of a graph at once. No torch."""

from pathlib import Path
from typing import Annotated

import typer

from orchestra import paper
from orchestra.cli import hub
from orchestra.draw import reading
from orchestra.graph import Node


def check(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    remote: Annotated[bool, typer.Option("--remote", help="Fetch from the Hub what is read before weights.")] = False,
) -> None:
    """List every problem of a graph, without loading a weight."""
    plan = paper.plan(graph, hub=hub(remote))
    augments = ", ".join(_name(node) for node in plan.graph.augments)
    count = len(plan.graph.sites)
    bridges = "1 bridge joins" if count == 1 else f"{count} bridges join"
    typer.echo(f"{graph}: fine. {bridges} the anchor with {augments}.")


def _name(node: Node) -> str:
    return f"{node.name} (reads {reading(node)})"
