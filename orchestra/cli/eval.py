"""`orchestra eval`: parse, call `orchestra.eval.evaluate`, print the table."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from orchestra.api import load
from orchestra.errors import EvalError
from orchestra.eval import EvalSpec, evaluate
from orchestra.eval.records import FORMS
from orchestra.eval.table import grid


def eval(
    graph: Annotated[Path, typer.Argument(help="A graph document, or its repository on the Hub.")],
    tasks: Annotated[list[str], typer.Argument(help="Tasks of lm-evaluation-harness or of ours, or YAML files.")],
    data: Annotated[
        list[str] | None, typer.Option(help="[TASK=]FILE: JSONL that tasks of ours read; repeatable.")
    ] = None,
    ablate: Annotated[
        list[str] | None, typer.Option(help="each, subsets, or NAMES to switch off together; repeatable.")
    ] = None,
    include_path: Annotated[list[Path] | None, typer.Option(help="A folder of tasks in YAML; repeatable.")] = None,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Default: as each task says.")] = None,
    limit: Annotated[float | None, typer.Option(help="Records per task; below 1 a share of them.")] = None,
    batch_size: Annotated[str, typer.Option(help="A number, or auto.")] = "1",
    seed: Annotated[int, typer.Option(help="Of examples, sampling, drawn questions and intervals.")] = 0,
    apply_chat_template: Annotated[bool, typer.Option("--apply-chat-template", help="The anchor's.")] = False,
    fewshot_as_multiturn: Annotated[bool, typer.Option("--fewshot-as-multiturn", help="Examples as turns.")] = False,
    system_instruction: str | None = None,
    gen_kwargs: Annotated[str | None, typer.Option(help="As max_gen_toks=64,do_sample=False.")] = None,
    metadata: Annotated[str, typer.Option(help="JSON for tasks that draw their questions.")] = "{}",
    bootstrap: Annotated[int, typer.Option(help="How often records are drawn again, 100 at least.")] = 1000,
    confirm_run_unsafe_code: Annotated[
        bool, typer.Option("--confirm-run-unsafe-code", help="Run the programs that the model writes.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="A folder for the table and the harness' result files.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Score a composition in tasks, and what is left of it without some of its augments."""
    spec = EvalSpec(
        tasks=tuple(tasks),
        data=_files(data or []),
        ablate=tuple(ablate or ()),
        include=tuple(include_path or ()),
        num_fewshot=num_fewshot,
        limit=limit,
        batch_size=_batch_size(batch_size),
        seed=seed,
        apply_chat_template=apply_chat_template,
        fewshot_as_multiturn=fewshot_as_multiturn,
        system_instruction=system_instruction,
        gen_kwargs=gen_kwargs,
        metadata=_metadata(metadata),
        confirm_run_unsafe_code=confirm_run_unsafe_code,
        bootstrap=bootstrap,
        output=output,
    )
    found = evaluate(load(graph), spec, tell=lambda line: print(line, file=sys.stderr))
    if as_json:
        typer.echo(json.dumps({"graph": str(graph), **found.record()}, indent=2))
    else:
        Console(highlight=False).print(grid(found))


def _files(given: list[str]) -> dict[str, Path]:
    """By task; under '' the file that is for all others."""
    found: dict[str, Path] = {}
    for one in given:
        task, equals, path = one.partition("=")
        named = bool(equals) and task in FORMS
        if (task if named else "") in found:
            raise EvalError(f"--data {one}: {task if named else 'every task'} has a file already.")
        found[task if named else ""] = Path(path if named else one)
    return found


def _batch_size(given: str) -> int | str:
    return int(given) if given.isdecimal() else given


def _metadata(given: str) -> dict[str, Any]:
    try:
        found = json.loads(given)
    except ValueError as error:
        raise EvalError(f"--metadata is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise EvalError("--metadata must be a JSON object.")
    return found
