"""`orchestra merge`: merge models as a mergekit recipe says."""

from pathlib import Path
from typing import Annotated

import typer

from orchestra.io.merge import merge as make


def merge(
    recipe: Annotated[Path, typer.Argument(help="A mergekit recipe, in YAML or JSON; its models may be on the Hub.")],
    out: Annotated[Path, typer.Argument(help="The folder of the result; it must not be there yet.")],
    tokenizer: Annotated[Path | None, typer.Option(help="The folder of the tokenizer that the result takes.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seeds the methods that drop weights at random.")] = 0,
) -> None:
    """Merge models as a mergekit recipe says, into a new folder."""
    make(recipe, out, tokenizer=tokenizer, seed=seed)
    typer.echo(f"{out}: written.")
