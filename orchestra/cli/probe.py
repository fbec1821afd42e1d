"""`orchestra probe`: where a composition listens to its augments."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from orchestra.api import load


def probe(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    text: Annotated[str, typer.Option(help="The text to read.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print gates and shares as JSON.")] = False,
) -> None:
    """Show what each bridge adds at each token of a text."""
    found = load(graph).contributions(text)
    typer.echo(json.dumps(dataclasses.asdict(found)) if as_json else str(found))
