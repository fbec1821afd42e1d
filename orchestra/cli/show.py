"""`orchestra show`: the graph as a picture. No torch, unless texts are to say how far bridges open."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from orchestra import draw, paper
from orchestra.graph import Site
from orchestra.io.gates import scalar_gates
from orchestra.plan import Plan


def show(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    output: Annotated[
        Path | None, typer.Option(help="Write the drawing into this file: .svg, .html, .png or .pdf.")
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="Load the graph, and draw bridges as thick as they open on this text; may be repeated."),
    ] = None,
) -> None:
    """Draw a graph: as a tree here, or as a picture or page into a file."""
    if output is not None:
        draw.check(output)
    planned, gates = _opened(graph, text) if text else _planned(graph)
    if output is None:
        typer.echo(draw.tree(planned, gates))
    else:
        draw.write(planned, output, gates)
        typer.echo(f"{output}: written.")


def _planned(graph: Path) -> tuple[Plan, dict[Site, float]]:
    """The plan, and what bundles say of their gates."""
    planned = paper.plan(graph)
    return planned, scalar_gates(planned.graph)


def _opened(graph: Path, texts: list[str]) -> tuple[Plan, dict[Site, float]]:
    """The plan of the loaded model, and how far its bridges open on these texts; only this needs torch."""
    model = import_module("orchestra.api").load(graph)
    return model.plan, import_module("orchestra.loudness").mean_gates(model, texts)
