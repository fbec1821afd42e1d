"""`orchestra contributions`: what each bridge adds at each token, and what the next token owes to each augment."""

import json
from pathlib import Path
from typing import Annotated

import typer

from orchestra.answers import GREEDY, Sampling, written
from orchestra.api import load
from orchestra.draw import plotting


def contributions(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    text: Annotated[str | None, typer.Option(help="The text to read.")] = None,
    prompt: Annotated[str | None, typer.Option(help="A text to continue; it is read with its answer.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="With --prompt.")] = GREEDY.max_new_tokens,
    output: Annotated[Path | None, typer.Option(help="Write a heat map into this file: .png, .svg or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
) -> None:
    """Show what each bridge adds at each token, and what the next one loses without each augment."""
    if (text is None) == (prompt is None):
        raise typer.BadParameter("give one of --text and --prompt.")
    if output is not None:
        plotting.check(output)
    model = load(graph)
    if prompt is None:
        found = model.contributions(text or "")
    else:
        ids, num_prompt = written(model, prompt, Sampling(max_new_tokens=max_new_tokens))
        found = model.contributions(ids[:, :-1], prompt_length=num_prompt)  # the last is what follows the one before
    if output is not None:
        found.plot(output)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    typer.echo(str(found))
    if output is not None:
        typer.echo(f"{output}: written.")
