"""`orchestra lock`: what a graph names, pinned. No torch."""

from pathlib import Path
from typing import Annotated

import typer

from orchestra.errors import LockError
from orchestra.io.document import read
from orchestra.io.hub import Online
from orchestra.io.lock import lock_path, take, write_lock
from orchestra.paper import fetched_plan


def lock(graph: Annotated[Path, typer.Argument(help="A graph document.")]) -> None:
    """Pin every model and bundle of a graph to a commit and the SHA-256 of each file."""
    document = read(graph, hub=(online := Online()), locked=False)
    if document.path is None or document.root is not None:
        raise LockError(f"{graph}: a lock lies beside a graph on this disk; pull the graph first.")
    taken = take(document.spec, fetched_plan(document, online).graph)
    path = lock_path(document.path)
    write_lock(path, taken)
    files = sum(len(pin.files) for pin in taken.pins.values())
    typer.echo(f"{path}: written. {len(taken.pins)} fields, {files} files.")
