"""The demo that ships: expressions over private keys, asked of the anchor, of the augment, and of both together."""

import random
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from orchestra.api import load
from orchestra.draw import svg
from orchestra.errors import ModelError
from orchestra.lab import digits, keys, tokenizer
from orchestra.lab.expressions import Example
from orchestra.lab.measure import answers, question_and_answer, score
from orchestra.lab.table import Table
from orchestra.runtime.model import ComposedModel

_SHOWN = 6


def show(graph: Path, *, questions: int, seed: int, console: Console | None = None) -> None:
    """Load the shipped graph, ask it, and print what it says.

    Args:
        questions: fresh expressions per row of the table.

    Raises:
        ModelError: the graph is not where it is looked for.
    """
    console = console or Console()
    if not graph.is_file():
        raise ModelError(f"there is no {graph}: run this in a clone of the repository, or name the graph by --graph.")
    model, table = load(graph), Table()
    console.print(f"\n{graph}: {model.plan.graph.description}\n{model.plan}\n", highlight=False)
    console.print(_examples(model, table, seed))
    console.print(_accuracies(model, table, questions, seed))
    drawing = graph.with_suffix(".svg")
    if not drawing.is_file():
        drawing.write_text(svg(model.plan), encoding="utf-8")
    console.print(f"The drawing of the graph: {drawing}\n", highlight=False)


def _examples(model: ComposedModel, table: Table, seed: int) -> Grid:
    """A few questions, and what each model says."""
    rng = random.Random(f"demo/{seed}")
    asked = [
        keys.question(rng, table, table.unseen, kind="keys", working=index >= _SHOWN - 2) for index in range(_SHOWN)
    ]
    texts = [question_and_answer(example)[0] for example in asked]
    words = tokenizer.build()
    grid = Grid(title="Keys that no bridge was trained on", title_justify="left")
    for column in ("asked", "its numbers", "anchor alone", "augment alone", "composition", "right"):
        grid.add_column(column, overflow="fold")
    with model.ablate("kv"):
        off = answers(model, words, texts)
    rows = zip(asked, texts, off, answers(model.augment("kv"), words, texts), answers(model, words, texts), strict=True)
    for example, text, anchor, augment, composed in rows:
        right = question_and_answer(example)[1]
        says = [said or "(nothing)" for said in (anchor, augment, composed)]
        grid.add_row(text, _in_digits(text, table), *says, "yes" if composed == right else "no")
    return grid


def _in_digits(text: str, table: Table) -> str:
    for key in sorted(table.values, key=len, reverse=True):
        text = text.replace(f"<{key}>", str(table.values[key]))
    return text.rstrip("=:")


def _accuracies(model: ComposedModel, table: Table, questions: int, seed: int) -> Grid:
    """Exact match on fresh expressions, with the augment on and off."""
    rng = random.Random(f"demo/{seed}/table")

    def over(kind: keys.Kind, *, working: bool) -> list[Example]:
        return [keys.question(rng, table, table.unseen, kind=kind, working=working) for _ in range(questions)]

    rows = {
        "keys no bridge saw": over("keys", working=False),
        "keys no bridge saw, with working": over("keys", working=True),
        "keys mixed with digits": over("mixed", working=False),
        "digits": [digits.question(rng, working=False) for _ in range(questions)],
    }
    words = tokenizer.build()
    grid = Grid(title=f"Exact match, percent [95% interval], {questions} fresh expressions a row", title_justify="left")
    for column in ("", "augment on", "augment off", "most frequent answer"):
        grid.add_column(column)
    for name, examples in rows.items():
        on = score(model, words, examples)
        with model.ablate("kv"):
            off = score(model, words, examples)
        grid.add_row(name, str(on), str(off), f"{on.guess:.1f}")
    return grid
