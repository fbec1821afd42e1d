"""`orchestra compat`: whether bundles that were trained apart join in one graph, and why not. No torch."""

import dataclasses
import json
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestra.cli import hub
from orchestra.compat import ASPECTS, Compatibility, Fit
from orchestra.compat import compat as held_together
from orchestra.errors import DataError
from orchestra.files import TOKENIZER_BYTES, read_text

Loudness = dict[str, dict[str, float]]


def compat(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    loudness: Annotated[
        list[Path] | None,
        typer.Option(help="A domain: a text file, a text on each line. Load the graph, and measure each stack on it."),
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="Fetch from the Hub what is read before weights.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Say whether bundles that were trained apart join in one graph, and why not."""
    found = held_together(graph, hub=hub(remote))
    reasons = found.reasons()
    measured = _measure(graph, loudness) if loudness and not reasons else {}
    if as_json:
        content = {"fits": not reasons, **dataclasses.asdict(found), "reasons": reasons, "loudness": measured}
        typer.echo(json.dumps(content, indent=2))
    else:
        _print(graph, found, measured)
    if reasons:
        raise typer.Exit(1)


def _measure(graph: Path, files: list[Path]) -> Loudness:
    """How loud each stack is on the texts of each file; only this needs torch."""
    texts = {str(path): _texts(path) for path in files}
    found: Loudness = import_module("orchestra.loudness").loudness_of(
        graph, texts
    )  # with torch: only where it is asked
    return found


def _texts(path: Path) -> list[str]:
    try:
        return [line for line in read_text(path, TOKENIZER_BYTES).splitlines() if line.strip()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text.") from error


def _print(graph: Path, found: Compatibility, measured: Loudness) -> None:
    console = Console(highlight=False)
    if found.bundles:
        console.print(_aspects(found))
    if measured:
        console.print(_loudness(measured))
    for line in found.reasons():
        typer.echo(line)
    if found.reasons():
        typer.echo(f"{graph}: does not fit.")
        return
    trained = ", ".join(fit.stack for fit in found.bundles)
    typer.echo(f"{graph}: fits. " + (f"{trained} join without training." if trained else "It names no bundles."))
    if found.fresh:
        typer.echo(f"Fresh, and to be trained: {', '.join(found.fresh)}.")


def _aspects(found: Compatibility) -> Table:
    """A row per aspect, a column per bundle."""
    table = Table("trained with", *(fit.stack for fit in found.bundles))
    for aspect, name in ASPECTS.items():
        table.add_row(name, *(_cell(fit, aspect) for fit in found.bundles))
    return table


def _cell(fit: Fit, aspect: str) -> Text:
    verdict = "does not fit" if aspect in fit.misfits else "not known here" if aspect in fit.unknown else "fits"
    return Text(f"{fit.trained[aspect]}: {verdict}")


def _loudness(measured: Loudness) -> Table:
    """A row per stack, a column per domain."""
    domains = list(next(iter(measured.values())))
    table = Table("|residual| / |hidden|, alone", *domains)
    for augment, shares in measured.items():
        table.add_row(augment, *(f"{shares[domain]:.3f}" for domain in domains))
    return table
