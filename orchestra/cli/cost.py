"""`orchestra cost`: parameters, bytes and FLOPs of a graph, beside what it is held against. No torch but to measure."""

import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestra import paper
from orchestra.cli import hub
from orchestra.cost.asked import Asked
from orchestra.cost.report import cost as reckon
from orchestra.cost.tables import tables
from orchestra.draw.console import show
from orchestra.errors import ComposeError

_ASKED = Asked()


def cost(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    prompt_length: Annotated[int, typer.Option(help="Tokens of the prompt.")] = _ASKED.prompt_length,
    new_tokens: Annotated[int, typer.Option(help="Tokens that follow it.")] = _ASKED.new_tokens,
    batch: Annotated[int, typer.Option(help="Texts at a time.")] = _ASKED.batch,
    tokens_per_token: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER: tokens of a stream for each of the anchor's; may be repeated."),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Load the graph; time it, and see its memory.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="With --measure: how often each way is timed.")] = 5,
    remote: Annotated[bool, typer.Option("--remote", help="Fetch from the Hub what is read before weights.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cost as JSON.")] = False,
) -> None:
    """Show what a graph costs, and what LoRA, fine-tuning and separate models would."""
    asked = Asked(
        prompt_length=prompt_length,
        new_tokens=new_tokens,
        batch=batch,
        tokens_per_token=ratios(tokens_per_token or ()),
    )
    planned = paper.plan(graph, hub=hub(remote))
    found = reckon(planned, paper.shapes(planned), asked)
    measured: Any = import_module("orchestra.measured") if measure else None
    taken: Any = measured.measure(graph, found, rounds=rounds) if measure else None
    if as_json:
        typer.echo(json.dumps(found.as_json() | ({"measured": taken.as_json()} if measure else {}), indent=2))
        return
    show((*tables(found), *(measured.tables(taken) if measure else ())))


def ratios(words: Iterable[str]) -> dict[str, float]:
    """What `NAME=NUMBER` says, each.

    Raises:
        ComposeError: one does not say it; all that do not are named.
    """
    found, problems = {}, []
    for word in words:
        name, _, number = word.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            problems.append(f"tokens_per_token is {word!r}; it is NAME=NUMBER, as in kv=1.3.")
    if problems:
        raise ComposeError.listing(problems)
    return found
