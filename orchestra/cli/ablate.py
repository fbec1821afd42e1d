"""`orchestra ablate`: what each augment is good for, on one prompt; or, trained again, what another would be."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from orchestra.answers import GREEDY, Sampling, ablations
from orchestra.api import load
from orchestra.errors import TrainError
from orchestra.train import SwapResult, SwapSpec, swap
from orchestra.train.spec import Schedule
from orchestra.train.swap_result import HEADINGS, cells
from orchestra.train.swap_spec import FORMS, parse

_OF_PROMPT = ("graph", "prompt", "max_new_tokens", "as_json")


def ablate(
    context: typer.Context,
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    prompt: Annotated[str | None, typer.Option(help="The text to continue.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = GREEDY.max_new_tokens,
    swaps: Annotated[list[str] | None, typer.Option("--swap", help=f"Train a control: {FORMS}; repeatable.")] = None,
    data: Annotated[Path | None, typer.Option(help="To train on: JSONL of {prompt, completion} or {text}.")] = None,
    eval_data: Annotated[Path | None, typer.Option(help="JSONL to score on. Default: a share of --data.")] = None,
    held_out: Annotated[float, typer.Option(help="That share; it is not trained on.")] = 0.1,
    asked: Annotated[int, typer.Option(help="How many prompts are completed at most.")] = 500,
    output: Annotated[Path | None, typer.Option(help="Default: runs/ and the graph's name with -swaps.")] = None,
    epochs: Annotated[int | None, typer.Option(help="This and the next ones: default is what the bundle says.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of --epochs.")] = None,
    learning_rate: float | None = None,
    schedule: Schedule | None = None,
    warmup: int | None = None,
    weight_decay: float | None = None,
    max_grad_norm: float | None = None,
    batch_size: Annotated[int | None, typer.Option(help="Records per forward.")] = None,
    gradient_accumulation: Annotated[int | None, typer.Option(help="Forwards per step.")] = None,
    bf16: Annotated[bool | None, typer.Option(help="Compute in bfloat16.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the order of records, and of what is held out.")] = None,
    save_every: Annotated[int | None, typer.Option(help="Checkpoint interval in steps.")] = None,
    max_length: Annotated[int | None, typer.Option(help="In tokens. Default: what the models allow.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from what is there, or discard it.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers, or the rows, as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the rows as Markdown.")] = False,
) -> None:
    """Answer one prompt without each augment; or train and score what another in its place would give."""
    _check(context, prompt, swaps)
    if prompt is not None:
        return _answer(graph, prompt, max_new_tokens, as_json=as_json)
    if data is None:
        raise TrainError("--swap needs --data: the controls are trained on it.")
    fields: dict[str, Any] = {
        "epochs": epochs,
        "steps": steps,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "warmup": warmup,
        "weight_decay": weight_decay,
        "max_grad_norm": max_grad_norm,
        "batch_size": batch_size,
        "gradient_accumulation": gradient_accumulation,
        "bf16": bf16,
        "seed": seed,
        "save_every": save_every,
        "max_length": max_length,
        "resume": resume,
    }
    spec = SwapSpec(
        swaps=tuple(map(parse, swaps or ())),
        data=data,
        output=output or Path("runs") / f"{graph.stem}-swaps",
        eval_data=eval_data,
        held_out=held_out,
        asked=asked,
        budget={name: value for name, value in fields.items() if value is not None},
    )
    _print(_swapped(graph, spec), as_json=as_json, markdown=markdown)


def _check(context: typer.Context, prompt: str | None, swaps: list[str] | None) -> None:
    """See that one of the two is asked for, with no option of the other."""
    if (prompt is None) == (not swaps):
        raise TrainError(f"give either --prompt, to answer it, or --swap ({FORMS}), to train controls.")
    typed = {name for name in context.params if str(context.get_parameter_source(name)).endswith("COMMANDLINE")}
    if prompt is None and "max_new_tokens" in typed:
        raise TrainError("--max-new-tokens belongs to --prompt; completions of --swap are as long as their records'.")
    if prompt is not None and (trained := sorted(typed.difference(_OF_PROMPT))):
        raise TrainError(f"--{trained[0].replace('_', '-')} belongs to --swap; with --prompt nothing is trained.")


def _swapped(graph: Path, spec: SwapSpec) -> SwapResult:
    try:
        return swap(graph, spec)
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped; the same command goes on from there.", file=sys.stderr)
        raise typer.Exit(130) from stop


def _answer(graph: Path, prompt: str, max_new_tokens: int, *, as_json: bool) -> None:
    answers = ablations(load(graph), prompt, Sampling(max_new_tokens=max_new_tokens))
    if as_json:
        typer.echo(json.dumps({"prompt": prompt, "answers": [dataclasses.asdict(found) for found in answers]}))
        return
    table = Table("augments on", "answer")
    for found in answers:
        table.add_row(", ".join(found.on) or "none", Text(found.text))
    Console(highlight=False).print(table)


def _print(result: SwapResult, *, as_json: bool, markdown: bool) -> None:
    if as_json or markdown:
        typer.echo(json.dumps(result.record(), indent=2) if as_json else result.markdown(), nl=as_json)
        return
    table = Table(Column(overflow="fold"), *HEADINGS[1:])
    for row in result.rows:
        table.add_row(*cells(row))
    console = Console(highlight=False)
    console.print(table)
    for note in result.notes:
        console.print(Text(note))
