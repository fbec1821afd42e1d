"""`orchestra plan`: what would run, with parameters and bytes. No torch."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orchestra import paper
from orchestra.plan import Plan


def plan(
    graph: Annotated[Path, typer.Argument(help="A graph document.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what a graph would run, and what each augment adds."""
    planned = paper.plan(graph)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(planned), indent=2))
        return
    console = Console(highlight=False)
    console.print(_models(planned))
    console.print(_bridges(planned))


def _models(planned: Plan) -> Table:
    """A row per model: what it holds, and what its bridges add."""
    table = Table("model", "from", "layers run", "width", "parameters", "on disk", "bridges", "trained", "fp32")
    anchor = planned.graph.anchor
    table.add_row(
        "anchor",
        _folder(anchor.facts.source),
        f"{anchor.facts.num_layers} of {anchor.facts.num_layers}",
        str(anchor.facts.d_model),
        _count(anchor.facts.num_params),
        _bytes(anchor.facts.weight_bytes),
    )
    for node, cost in zip(planned.graph.augments, planned.costs, strict=True):
        table.add_row(
            node.name if node.enabled else f"{node.name} (off)",
            _folder(node.facts.source),
            f"{cost.layers_run} of {cost.num_layers}",
            str(node.facts.d_model),
            _count(node.facts.num_params),
            _bytes(cost.weight_bytes) if cost.weight_bytes != 0 else "counted above",
            str(cost.num_bridges),
            _count(cost.bridge_params),
            _bytes(cost.bridge_bytes),
        )
    return table


def _bridges(planned: Plan) -> Table:
    """A row per bridge, in the order in which they run."""
    table = Table("anchor layer", "reads", "width", "heads", "gate", "positions", "variant")
    for site in planned.graph.sites:
        table.add_row(
            str(site.anchor_layer),
            f"{site.augment} {site.augment_layer}",
            f"{site.d_augment} -> {site.d_anchor}",
            str(site.num_heads),
            site.gate,
            site.positions,
            site.variant,
        )
    return table


def _folder(source: str) -> str:
    return Path(source).name


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _bytes(number: int | None) -> str:
    if number is None:
        return "unknown"
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1000:.1f} kB"
