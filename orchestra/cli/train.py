"""`orchestra train`: parse, call `orchestra.train.train`, print what came of it."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from orchestra.train import TrainResult, TrainSpec
from orchestra.train import train as train_bridges
from orchestra.train.spec import Schedule

_DEFAULT: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(TrainSpec)}


def train(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    data: Annotated[Path, typer.Option(help="JSONL of {prompt, completion} or {text}.")],
    eval_data: Annotated[Path | None, typer.Option(help="JSONL to evaluate on.")] = None,
    augment: Annotated[
        list[str] | None, typer.Option(help="Train its stack, all not named being off; repeatable. Default: those on.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Default: runs/ and the graph's name.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Default: 1, unless --steps is given.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of --epochs.")] = None,
    learning_rate: float = _DEFAULT["learning_rate"],
    schedule: Schedule = _DEFAULT["schedule"],
    warmup: Annotated[int, typer.Option(help="Steps of rising learning rate.")] = _DEFAULT["warmup"],
    weight_decay: float = _DEFAULT["weight_decay"],
    max_grad_norm: float = _DEFAULT["max_grad_norm"],
    batch_size: Annotated[int, typer.Option(help="Records per process and forward.")] = _DEFAULT["batch_size"],
    gradient_accumulation: Annotated[int, typer.Option(help="Forwards per step.")] = _DEFAULT["gradient_accumulation"],
    gradient_checkpointing: Annotated[bool, typer.Option(help="Less memory, more time.")] = False,
    keep_taps: Annotated[Path | None, typer.Option(help="Keep here what frozen models make of the records.")] = None,
    bf16: Annotated[bool, typer.Option(help="Compute in bfloat16.")] = False,
    seed: Annotated[int, typer.Option(help="Of the order of records.")] = _DEFAULT["seed"],
    eval_every: Annotated[int | None, typer.Option(help="In steps. Default: at the end only.")] = None,
    save_every: Annotated[int, typer.Option(help="Checkpoint interval in steps.")] = _DEFAULT["save_every"],
    log_every: Annotated[int, typer.Option(help="In steps.")] = _DEFAULT["log_every"],
    max_length: Annotated[int | None, typer.Option(help="In tokens. Default: what the models allow.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the newest checkpoint, or discard what is there.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train the bridges of a graph."""
    spec = TrainSpec(
        data=data,
        output=output or Path("runs") / graph.stem,
        eval_data=eval_data,
        augments=tuple(augment or ()),
        epochs=epochs,
        steps=steps,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        gradient_checkpointing=gradient_checkpointing,
        keep_taps=keep_taps,
        bf16=bf16,
        seed=seed,
        eval_every=eval_every,
        save_every=save_every,
        log_every=log_every,
        max_length=max_length,
        resume=resume,
    )
    try:
        result = train_bridges(graph, spec)
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        raise typer.Exit(130) from stop
    if result.is_main_process:
        _print(result, as_json=as_json)


def _print(result: TrainResult, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result), indent=2, default=str))
        return
    table = Table("", "trained", show_header=True)
    for name, folder in result.bundles.items():
        table.add_row(f"bundle of {name}", str(folder))
    table.add_row("steps", f"{result.steps}" + (f" (resumed at {result.resumed_from})" if result.resumed_from else ""))
    table.add_row("parameters trained", f"{result.num_trained:,}")
    rows = {
        "training loss": result.losses.get(max(result.losses, default=0)),
        "evaluation loss": result.eval_loss,
        "the same, trained augments off": result.eval_loss_without,
    }
    for name, loss in rows.items():
        if loss is not None:
            table.add_row(name, f"{loss:.4f}")
    table.add_row("seconds", f"{result.seconds:.0f}")
    Console().print(table)
