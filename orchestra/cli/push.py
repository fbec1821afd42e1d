"""`orchestra push`: a graph or a bundle, as a repository on the Hub. No torch."""

from pathlib import Path
from typing import Annotated

import typer

from orchestra.io.bundle import CONFIG_FILE
from orchestra.io.document import read
from orchestra.io.hosting import bundle_parcel, declared, graph_parcel
from orchestra.io.hub import Online
from orchestra.io.push import push as send
from orchestra.paper import plan


def push(
    graph: Annotated[Path, typer.Argument(help="A graph document, or the folder of a bundle.")],
    repo: Annotated[str, typer.Argument(help="The repository: owner/name. It is created where there is none.")],
    private: Annotated[bool, typer.Option("--private", help="Of a repository that is created.")] = False,
    revision: Annotated[str | None, typer.Option(help="The branch; default: main.")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
) -> None:
    """Upload a graph with its bridges, or a bundle, to the Hub."""
    if (graph / CONFIG_FILE).is_file():
        parcel = bundle_parcel(graph)
    else:
        document = read(graph, hub=(online := Online()))
        parcel = graph_parcel(declared(document.spec), plan(document, hub=online).graph)
    commit = send(parcel, repo, commit_message=message, private=private or None, revision=revision)
    typer.echo(f"{graph}: pushed. {commit.commit_url}")
