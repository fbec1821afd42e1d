"""`orchestra pull`: a graph or a bundle of the Hub, as a folder of one's own. No torch."""

from pathlib import Path
from typing import Annotated

import typer

from orchestra.io.hosted import GRAPH_FILE
from orchestra.io.hub import Online
from orchestra.io.pull import unpack


def pull(
    repo: Annotated[str, typer.Argument(help="The repository: owner/name.")],
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet, or empty.")],
    revision: Annotated[str | None, typer.Option(help="A commit, a tag or a branch; default: main.")] = None,
) -> None:
    """Fetch a graph with its bridges, or a bundle, from the Hub."""
    snapshot = Online()(repo, revision, "graph")
    unpack(snapshot, folder)
    graph = folder / GRAPH_FILE
    typer.echo(f"{graph if graph.is_file() else folder}: written, from {repo} at {snapshot.origin.commit}.")
