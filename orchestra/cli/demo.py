"""`orchestra demo`: show the shipped demo."""

from pathlib import Path
from typing import Annotated

import typer

from orchestra.lab.demo import show
from orchestra.lab.recipe import recipes


def demo(
    graph: Annotated[Path, typer.Option(help="The demo's graph.")] = Path("graphs/trio.json"),
    questions: Annotated[int, typer.Option(min=1, help="Fresh expressions per cell of the table.")] = 64,
    seed: Annotated[int, typer.Option(help="Draws the expressions.")] = 1,
) -> None:
    """Ask anchor, augments and composition about atoms that no bridge saw, with every subset of augments."""
    show(graph, recipes()["trio"], asked=questions, seed=seed)
