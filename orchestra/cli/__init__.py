"""The `orchestra` command: a module of this package per command, imported when it is called and not before.

Module `NAME` holds a function `NAME`, whose parameters are the command's arguments and options. Errors of ours are one
message and exit 1; a bug keeps its traceback.
"""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestra import __version__
from orchestra.errors import OrchestraError
from orchestra.io.hosted import Hub, cached

COMMANDS = {
    "check": "List every problem of a graph, without loading a weight.",
    "plan": "Show what a graph would run, and what each augment adds.",
    "cost": "Show what a graph costs, and what LoRA, fine-tuning and separate models would.",
    "compat": "Say whether bundles that were trained apart join in one graph, and why not.",
    "show": "Draw a graph: as a tree here, or as a picture or page into a file.",
    "schema": "Print the JSON Schema of graph documents.",
    "lock": "Pin every model and bundle of a graph to a commit and the SHA-256 of each file.",
    "push": "Upload a graph with its bridges, or a bundle, to the Hub.",
    "pull": "Fetch a graph with its bridges, or a bundle, from the Hub.",
    "generate": "Continue a prompt with a composition.",
    "ablate": "Answer one prompt without each augment; or train and score what another in its place would give.",
    "contributions": "Show what each bridge adds at each token, and what the next one loses without each augment.",
    "eval": "Score a composition in tasks, and what is left of it without some of its augments.",
    "probe": "Show which layers of the augments hold what a file of records asks for, and propose bridges.",
    "train": "Train the bridges of a graph.",
    "merge": "Merge models as a mergekit recipe says, into a new folder.",
    "reproduce": "Run an experiment again, from nothing; interrupted, it goes on from its last checkpoint.",
    "demo": "Ask anchor, augments and composition about atoms that no bridge saw, with every subset of augments.",
}
"""Every command, and what it does in a sentence: that of its function, so that `--help` imports none of them."""


class _OnCall(TyperGroup):
    """A group that imports the module of a command when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, _command(str(name)), rest


app = typer.Typer(
    cls=_OnCall, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _named() -> None:
    """Stands for a command until it is called."""


for _name, _sentence in COMMANDS.items():
    app.command(_name, help=_sentence)(_named)


def hub(remote: bool) -> Hub:
    """Where a command of the paper half finds repositories: the Hub's client is imported when it is asked for."""
    found: Hub = import_module("orchestra.io.hub").Online() if remote else cached
    return found


def _command(name: str) -> Any:
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    single.command(name)(getattr(import_module(f"orchestra.cli.{name}"), name))
    return typer.main.get_command(single)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"orchestra {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compose language models: one frozen anchor, frozen augments, and trained bridges between them."""


def main() -> None:
    """Run the command line."""
    try:
        app()
    except OrchestraError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
