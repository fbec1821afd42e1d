"""`orchestra plan`: what would run, with parameters and bytes. No torch."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orchestra import paper
from orchestra.cli import hub
from orchestra.draw import reading, state
from orchestra.plan import Plan


def plan(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    remote: Annotated[bool, typer.Option("--remote", help="Fetch from the Hub what is read before weights.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what a graph would run, and what each augment adds."""
    planned = paper.plan(graph, hub=hub(remote))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(planned), indent=2))
        return
    console = Console(highlight=False)
    for table in (_models(planned), _stacks(planned), _bridges(planned)):
        console.print(table)
    if stopped := [cost.augment for cost in planned.costs if state(cost) == "stopped"]:
        console.print(f"Stopped, as nothing that they feed runs: {', '.join(stopped)}.")


def _models(planned: Plan) -> Table:
    """A row per model: what of it is run, and its size."""
    table = Table("model", "from", "layers run", "width", "parameters", "on disk")
    anchor = planned.graph.anchor
    runs = {cost.augment: (cost.layers_run, cost.weight_bytes, state(cost)) for cost in planned.costs}
    runs["anchor"] = (anchor.facts.num_layers, anchor.facts.weight_bytes, "")
    for node in (anchor, *planned.graph.augments):
        layers_run, weight_bytes, why = runs[node.name]
        table.add_row(
            f"{node.name} ({why})" if why else node.name,
            node.facts.name,
            f"{layers_run} of {node.facts.num_layers}",
            str(node.facts.d_model),
            "unknown" if node.facts.num_params is None else f"{node.facts.num_params:,}",
            "counted above" if weight_bytes == 0 else _bytes(weight_bytes),
        )
    return table


def _stacks(planned: Plan) -> Table:
    """A row per augment: what it reads, whom it feeds where that is not the anchor alone, and what its bridges add."""
    graph = planned.graph
    table = Table("stack of", "reads", *(["feeds"] if graph.deep else []), "bridges", "trained parameters", "in fp32")
    for node, cost in zip(graph.augments, planned.costs, strict=True):
        table.add_row(
            cost.augment,
            reading(node),
            *([", ".join(graph.feeds[node.name])] if graph.deep else []),
            str(cost.num_bridges),
            f"{cost.bridge_params:,}",
            _bytes(cost.bridge_bytes),
        )
    return table


def _bridges(planned: Plan) -> Table:
    """A row per bridge, in the order in which they run."""
    deep = planned.graph.deep
    table = Table("layer" if deep else "anchor layer", "reads", "width", "heads", "gate", "positions", "variant")
    for site in planned.graph.sites:
        table.add_row(
            f"{site.into} {site.anchor_layer}" if deep else str(site.anchor_layer),
            f"{site.augment} {site.augment_layer}",
            f"{site.d_augment} -> {site.d_anchor}",
            str(site.num_heads),
            site.gate,
            site.positions,
            site.variant,
        )
    return table


def _bytes(number: int | None) -> str:
    if number is None:
        return "unknown"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} bytes"
