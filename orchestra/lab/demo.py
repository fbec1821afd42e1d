"""The demo that ships: mixed expressions, asked of the anchor, of each augment alone, and of all together."""

import random
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid
from transformers import PreTrainedTokenizerFast

from orchestra.answers import written
from orchestra.api import load
from orchestra.draw import plotting, svg
from orchestra.errors import ComposeError, ModelError
from orchestra.lab import tokenizer
from orchestra.lab.exercises import Exercise, example, question
from orchestra.lab.measure import Score, answers, final, question_and_answer, score
from orchestra.lab.recipe import Recipe
from orchestra.lab.results import DIGITS, NOTHING, questions, subsets, title
from orchestra.runtime.model import ComposedModel

_SHOWN = 6
_WIDTH = 32  # of an answer


def show(
    graph: Path,
    recipe: Recipe,
    *,
    asked: int,
    seed: int,
    pictures: Path = Path("build"),
    console: Console | None = None,
) -> None:
    """Load the shipped graph, ask it, print what it says, and draw what the first answer owes to each augment.

    Args:
        asked: fresh expressions per cell of the table.
        pictures: the folder that the heat map is written into.

    Raises:
        ModelError: the graph is not where it is looked for.
    """
    console = console or Console()
    if not graph.is_file():
        raise ModelError(f"there is no {graph}: run this in a clone of the repository, or name the graph by --graph.")
    model, words = load(graph), tokenizer.build()
    console.print(f"\n{graph}: {model.plan.graph.description}\n{model.plan}\n", highlight=False)
    shown = _shown(recipe, seed)
    console.print(_examples(model, words, shown))
    console.print(_accuracies(model, words, recipe, asked, seed))
    drawing = graph.with_suffix(".svg")
    if not drawing.is_file():
        drawing.write_text(svg(model.plan), encoding="utf-8")
    text, _ = question_and_answer(example(shown[0]))
    console.print(
        f"What each token of the first answer owes to each augment: {_heat(model, text, graph, pictures)}",
        markup=False,
        highlight=False,
    )
    console.print(f"The drawing of the graph: {drawing}\n", highlight=False)


def _heat(model: ComposedModel, text: str, graph: Path, folder: Path) -> str:
    """Where the heat map of a question and its answer has been written, or why it has not."""
    path = folder / f"{graph.stem}-heat.png"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        plotting.check(path)
    except ComposeError as missing:
        return str(missing)
    ids, num_prompt = written(model, text)
    model.contributions(ids[:, :-1], prompt_length=num_prompt).plot(path)
    return str(path)


def _shown(recipe: Recipe, seed: int) -> list[Exercise]:
    rng = random.Random(f"demo/{seed}")
    domains = [one.domain for one in recipe.specialists]
    return [question(rng, domains, working=index >= _SHOWN - 2) for index in range(_SHOWN)]


def _examples(model: ComposedModel, words: PreTrainedTokenizerFast, asked: Sequence[Exercise]) -> Grid:
    """A few questions, and what is said with all augments off and on."""
    texts, wanted = zip(*(question_and_answer(example(one)) for one in asked), strict=True)
    grid = Grid(title="Atoms that no bridge was trained on", title_justify="left")
    for column in ("asked", "in digits", "anchor alone", "together", "right"):
        grid.add_column(column, overflow="fold")
    with model.only():
        alone = answers(model, words, texts)
    together = answers(model, words, texts)
    for one, text, right, anchor, said in zip(asked, texts, wanted, alone, together, strict=True):
        shown = [text, _in_digits(one), anchor[:_WIDTH], said[:_WIDTH]]
        grid.add_row(*shown, "yes" if final(said) == final(right) else "no")
    return grid


def _in_digits(asked: Exercise) -> str:
    """An exercise with only the value of each operand and the signs."""
    value, found = "", ""
    for part in asked:
        if part.text in ("+ ", "- ") or part.learnt:
            found, value = f"{found}{value}{part.text.strip() if not part.learnt else ''}", ""
        elif part.text != part.twin:
            value = part.twin
    return found


def _accuracies(model: ComposedModel, words: PreTrainedTokenizerFast, recipe: Recipe, asked: int, seed: int) -> Grid:
    """Exact match by which augments are on, and by which domains an expression mixes."""
    every = subsets(recipe.specialists)
    columns = [questions(column, asked, way="answer", seed=f"demo/{seed}") for column in every]
    grid = Grid(
        title=f"Exact match in percent, {asked} fresh expressions a cell.\nRows: which augments are on. Columns: which "
        "domains an expression mixes.",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    grid.add_column("on", no_wrap=True)
    for heading in (title(column, empty=DIGITS) for column in every):
        grid.add_column(heading)
    for row in every:
        with model.only(*(one.name for one in row)):
            found = [score(model, words, examples) for examples in columns]
        cells = [_cell(cell, able=all(one in row for one in column)) for cell, column in zip(found, every, strict=True)]
        grid.add_row(title(row, empty=NOTHING), *cells)
    return grid


def _cell(found: Score, *, able: bool) -> str:
    """A score, bold where everything that is needed is on."""
    return f"[bold]{found.percent:.0f}[/bold]" if able else f"{found.percent:.0f}"
