"""`orchestra probe`: which layers hold what, and which bridges this speaks for."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestra.draw.console import show, wide
from orchestra.probing import ProbeSpec
from orchestra.probing import probe as probe_layers
from orchestra.probing.result import Probed, tables

_DEFAULT: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(ProbeSpec)}


def probe(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    data: Annotated[Path, typer.Option(help="JSONL of {prompt, completion} or {text}, with label or spans.")],
    eval_data: Annotated[Path | None, typer.Option(help="JSONL to score on.")] = None,
    held_out: Annotated[float, typer.Option(help="Else, the share of texts to score on.")] = _DEFAULT["held_out"],
    augment: Annotated[list[str] | None, typer.Option(help="Probe it; repeatable. Default: those on.")] = None,
    batch_size: Annotated[int, typer.Option(help="Texts per forward.")] = _DEFAULT["batch_size"],
    limit: Annotated[int | None, typer.Option(help="Read so many records of a file. Default: all.")] = None,
    classes: Annotated[int, typer.Option(help="Most labels that a probe tells apart.")] = _DEFAULT["classes"],
    resamples: Annotated[int, typer.Option(help="Bootstrap samples.")] = _DEFAULT["resamples"],
    seed: Annotated[int, typer.Option(help="Of what is held out, and of the bootstrap.")] = _DEFAULT["seed"],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show which layers of the augments hold what a file of records asks for, and propose bridges."""
    found = probe_layers(
        graph,
        ProbeSpec(
            data=data,
            eval_data=eval_data,
            held_out=held_out,
            augments=tuple(augment or ()),
            batch_size=batch_size,
            limit=limit,
            classes=classes,
            resamples=resamples,
            seed=seed,
        ),
    )
    if as_json:
        typer.echo(json.dumps(found.as_json()))
    else:
        _print(found)


def _print(found: Probed) -> None:
    show(tables(found))
    console = wide()
    for name, pairs in found.pairs.items():
        if pairs:
            bridges = json.dumps({"pairs": [dataclasses.asdict(pair) for pair in pairs]})
            console.print(f'"{name}" could have "bridges": {bridges}', soft_wrap=True, markup=False)
        else:
            console.print(f'"{name}": no layer explains what the anchor does not know; no bridges are proposed.')
