"""`orchestra show`: the graph as a picture. No torch."""

from pathlib import Path
from typing import Annotated

import typer

from orchestra import paper
from orchestra.draw import svg, tree


def show(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    svg_file: Annotated[Path | None, typer.Option("--svg", help="Write the drawing into this file.")] = None,
) -> None:
    """Draw a graph: as a tree here, or as SVG into a file."""
    planned = paper.plan(graph)
    if svg_file is None:
        typer.echo(tree(planned))
    else:
        svg_file.write_text(svg(planned), encoding="utf-8")
        typer.echo(f"{svg_file}: written.")
