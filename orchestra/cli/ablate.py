"""`orchestra ablate`: what each augment is good for, on one prompt."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestra.answers import GREEDY, Sampling, ablations
from orchestra.api import load


def ablate(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    prompt: Annotated[str, typer.Option(help="The text to continue.")],
    max_new_tokens: Annotated[int, typer.Option(min=1)] = GREEDY.max_new_tokens,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
) -> None:
    """Answer one prompt with all augments, without each of them, and with none."""
    answers = ablations(load(graph), prompt, Sampling(max_new_tokens=max_new_tokens))
    if as_json:
        typer.echo(json.dumps({"prompt": prompt, "answers": [dataclasses.asdict(found) for found in answers]}))
        return
    table = Table("augments on", "answer")
    for found in answers:
        table.add_row(", ".join(found.on) or "none", Text(found.text))
    Console(highlight=False).print(table)
