"""`orchestra generate`: a prompt in, an answer out."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from orchestra.answers import GREEDY, Sampling, answer
from orchestra.api import load


def generate(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    prompt: Annotated[str, typer.Option(help="The text to continue.")],
    without: Annotated[list[str] | None, typer.Option(help="Switch this augment off; may be repeated.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Switch all others off; may be repeated.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = GREEDY.max_new_tokens,
    sample: Annotated[bool, typer.Option("--sample", help="Draw tokens, instead of the likeliest.")] = False,
    temperature: Annotated[float, typer.Option(min=0.01, help="With --sample.")] = GREEDY.temperature,
    seed: Annotated[int, typer.Option(min=0, help="With --sample.")] = GREEDY.seed,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Continue a prompt with a composition."""
    sampling = Sampling(max_new_tokens=max_new_tokens, sample=sample, temperature=temperature, seed=seed)
    model = load(graph)
    if only:
        model.disable(*model.active)
        model.enable(*only)
    model.disable(*(without or ()))
    found = answer(model, prompt, sampling)
    typer.echo(json.dumps({"prompt": prompt, **dataclasses.asdict(found)}) if as_json else found.text)
