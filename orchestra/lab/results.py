"""Measures a demo: which augments are on, against which domains an expression mixes."""

import random
from collections.abc import Sequence
from functools import partial
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from orchestra.lab.exercises import Exercise, encode_with_twins, example, question
from orchestra.lab.expressions import MAX_VALUE, Example
from orchestra.lab.fitting import fit
from orchestra.lab.gates import gates, only_gates_learn
from orchestra.lab.measure import score
from orchestra.lab.probe import explained, linear_probe
from orchestra.lab.recipe import Recipe, Specialist
from orchestra.lab.tokenizer import NUMBERS
from orchestra.runtime.model import ComposedModel

SEED = 20_240_104  # questions are drawn from other seeds than examples
DIGITS, NOTHING = "digits", "none"
_WAYS = ("answer", "with working")
_MIXED = 300  # examples that the gates are trained on
_PROBED = (3000, 2000)  # atoms that a probe is fitted on, and asked


def measure(
    model: ComposedModel, words: PreTrainedTokenizerFast, recipe: Recipe, *, runs: Path, seed: int = SEED
) -> dict[str, Any]:
    """Ask every cell its questions; a column has the same questions in every row.

    Args:
        runs: where the training of the gates resumes from.

    Returns:
        JSON values: the settings, `matrix[way][row][column]`, what each augment knows and holds, and what training only
        the gates adds.
    """
    matrix = {way: _matrix(model, words, recipe, way=way, seed=seed) for way in _WAYS}
    results: dict[str, Any] = {
        "name": recipe.name,
        "questions": recipe.questions,
        "seed": seed,
        "values": MAX_VALUE + 1,
        "atoms": {one.name: one.atoms for one in recipe.specialists},
        "augments": {one.name: _augment(model, words, one, recipe.questions, seed) for one in recipe.specialists},
        "matrix": matrix,
    }
    if len(recipe.specialists) > 1:
        results["gates"] = _with_gates(model, words, recipe, runs=runs, seed=seed)
    return results


def subsets(specialists: Sequence[Specialist]) -> list[tuple[Specialist, ...]]:
    """All subsets, small ones first."""
    return list(chain.from_iterable(combinations(specialists, size) for size in range(len(specialists) + 1)))


def title(chosen: Sequence[Specialist], *, empty: str) -> str:
    """A subset's name as a row or column."""
    return " + ".join(one.name for one in chosen) or empty


def questions(column: Sequence[Specialist], count: int, *, way: str, seed: int | str) -> list[Example]:
    """The questions of a column, over atoms that no bridge saw."""
    rng = random.Random(f"{seed}/{title(column, empty=DIGITS)}/{way}")
    domains = [one.domain for one in column]
    return [example(question(rng, domains, working=way == "with working")) for _ in range(count)]


def _matrix(
    model: ComposedModel, words: PreTrainedTokenizerFast, recipe: Recipe, *, way: str, seed: int
) -> dict[str, dict[str, Any]]:
    """Rows by which augments are on. With working, only the rows that can answer: the column's own, and all on."""
    every = subsets(recipe.specialists)
    matrix: dict[str, dict[str, Any]] = {title(row, empty=NOTHING): {} for row in every}
    for column in every:
        asked = questions(column, recipe.questions, way=way, seed=seed)
        for row in every:
            if way == "answer" or row in (column, every[-1]):
                with model.only(*(one.name for one in row)):
                    found = score(model, words, asked).record()
                matrix[title(row, empty=NOTHING)][title(column, empty=DIGITS)] = found
    return matrix


def _augment(
    model: ComposedModel, words: PreTrainedTokenizerFast, specialist: Specialist, count: int, seed: int
) -> dict[str, Any]:
    """What an augment says of its own atoms, and what can be read from it of atoms that no bridge saw."""
    domain, augment = specialist.domain, model.augment(specialist.name)
    rng = random.Random(f"{seed}/{specialist.name} alone")
    atoms = [domain.draw(rng, None) for _ in range(count)]
    asked = [((domain.until_known(atom), False), (specialist.answers[domain.value(atom)], True)) for atom in atoms]
    alone = score(augment, specialist.model.tokenizer(), asked, max_new_tokens=1)
    numbers = words.convert_tokens_to_ids(list(NUMBERS))
    with torch.no_grad():
        goals = model.anchor.get_input_embeddings()(torch.tensor(numbers))
    return {"alone": alone.record(), **_probes(augment, specialist, goals, seed)}


def _probes(augment: PreTrainedModel, specialist: Specialist, goals: Tensor, seed: int) -> dict[str, list[float]]:
    """By augment layer: what a linear probe reads, and what a linear map explains of the anchor's number embeddings."""
    domain, words = specialist.domain, specialist.model.tokenizer()
    rng = random.Random(f"{seed}/{domain.name} probed")

    def texts(count: int, *, seen: bool) -> tuple[list[str], list[int]]:
        atoms = [domain.draw(rng, seen) for _ in range(count)]
        return [domain.until_known(atom) for atom in atoms], [domain.value(atom) for atom in atoms]

    fitted, asked = texts(_PROBED[0], seen=True), texts(_PROBED[1], seen=False)
    probed = linear_probe(augment, words, fit=fitted, test=asked, num_classes=MAX_VALUE + 1)
    return {
        "probe_percent": [round(share, 1) for share in probed],
        "explained": [round(share, 3) for share in explained(augment, words, fit=fitted, test=asked, goals=goals)],
    }


def _with_gates(
    model: ComposedModel, words: PreTrainedTokenizerFast, recipe: Recipe, *, runs: Path, seed: int
) -> dict[str, Any]:
    """Every column with all augments on, after training only the gates on a few mixed expressions over seen atoms."""
    rng = random.Random(f"{seed}/gates")
    mixed: list[Exercise] = []
    for index in range(_MIXED):
        columns = [column for column in subsets(recipe.specialists) if len(column) > 1]
        domains = [one.domain for one in columns[index % len(columns)]]
        mixed.append(question(rng, domains, working=index % 3 == 0, seen=True))
    learnt = {name: weight.detach().clone() for name, weight in gates(model).items()}
    with only_gates_learn(model):
        fit(
            model,
            lambda rng, _: rng.choice(mixed),
            partial(encode_with_twins, words),
            recipe.gates,
            checkpoint=runs / "gates.pt",
            title="gates",
        )
    found = {
        title(column, empty=DIGITS): score(
            model, words, questions(column, recipe.questions, way="answer", seed=seed)
        ).record()
        for column in subsets(recipe.specialists)
    }
    with torch.no_grad():
        for name, weight in gates(model).items():
            weight.copy_(learnt[name])
    return found


def report(results: dict[str, Any]) -> str:
    """The tables in Markdown."""
    lines = [
        f"# {results['name']}",
        "",
        f"Exact match in percent, {results['questions']:,} fresh expressions per cell (seed {results['seed']}), greedy "
        "decoding, 2 to 4 operands with + and -, atoms that no bridge saw, each worth a number from 0 to "
        f"{results['values'] - 1}.",
        "",
        "Rows: which augments are on. Columns: which domains an expression mixes. Bold: everything needed is on.",
        "",
        *_matrix_lines(results["matrix"]["answer"]),
        "",
        "With 95% Wilson intervals:",
        "",
        *_interval_lines(results),
        "",
        "| augment | its atoms | alone, on its own atoms | a linear probe reads, by layer | of the anchor's number "
        "embeddings, a linear map explains |",
        "|---|---|---|---|---|",
    ]
    for name, known in results["augments"].items():
        probes, shares = (", ".join(map(str, known[key])) for key in ("probe_percent", "explained"))
        lines.append(f"| {name} | {results['atoms'][name]} | {cell(known['alone'])} | {probes} | {shares} |")
    if results.get("cpu_minutes"):
        times = ", ".join(f"{stage} {minutes}" for stage, minutes in results["cpu_minutes"].items())
        lines += ["", f"CPU minutes of training, one thread: {times}."]
    lines += ["", f"Made by `orchestra reproduce {results['name']}`."]
    return "\n".join(lines) + "\n"


def _matrix_lines(matrix: dict[str, dict[str, Any]]) -> list[str]:
    columns = list(matrix[NOTHING])
    lines = ["| on | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row, found in matrix.items():
        on = {DIGITS, *row.split(" + ")}
        cells = (
            f"**{record['percent']:.1f}**" if set(column.split(" + ")) <= on else f"{record['percent']:.1f}"
            for column, record in found.items()
        )
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def _interval_lines(results: dict[str, Any]) -> list[str]:
    """A line per mix of domains."""
    answer, working = (results["matrix"][way] for way in _WAYS)
    everything = list(answer)[-1]
    headings = ["only its augments on", "all on", "all on, with working"]
    headings += [f"all on, gates trained on {_MIXED} mixed examples"] if "gates" in results else []
    headings += ["always the most frequent answer"]
    lines = ["| | " + " | ".join(headings) + " |", "|---" * (len(headings) + 1) + "|"]
    for column in answer[NOTHING]:
        own = NOTHING if column == DIGITS else column
        records = [answer[own][column], answer[everything][column], working[everything][column]]
        records += [results["gates"][column]] if "gates" in results else []
        lines.append(f"| {column} | {' | '.join(map(cell, records))} | {answer[everything][column]['guess']:.1f} |")
    return lines


def cell(record: dict[str, Any]) -> str:
    """A score with its interval, as it stands in a table."""
    low, high = record["interval"]
    return f"{record['percent']:.1f} [{low:.1f}, {high:.1f}]"
