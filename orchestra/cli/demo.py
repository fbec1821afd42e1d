"""`orchestra demo`: show the shipped demo."""

from pathlib import Path
from typing import Annotated

import typer

from orchestra.lab import kv_demo


def demo(
    graph: Annotated[Path, typer.Option(help="The demo's graph.")] = Path("graphs/kv-small.json"),
    questions: Annotated[int, typer.Option(min=1, help="Fresh expressions per row of the table.")] = 200,
    seed: Annotated[int, typer.Option(help="Draws the expressions.")] = 1,
) -> None:
    """Ask anchor, augment and composition about keys that no bridge was trained on, and switch the augment off."""
    kv_demo.show(graph, questions=questions, seed=seed)
