"""`orchestra schema`: for editors, which check a graph as it is written. No torch."""

from pathlib import Path
from typing import Annotated

import typer

from orchestra import spec


def schema(
    output: Annotated[Path | None, typer.Option(help="Write it into this file.")] = None,
) -> None:
    """Print the JSON Schema of graph documents."""
    if output is None:
        typer.echo(spec.schema_text(), nl=False)
    else:
        output.write_text(spec.schema_text(), encoding="utf-8")
        typer.echo(f"{output}: written.")
