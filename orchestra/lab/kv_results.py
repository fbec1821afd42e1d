"""Measures the demo, and writes its table."""

import random
from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from orchestra.lab import digits, keys
from orchestra.lab.expressions import MAX_VALUE, Example
from orchestra.lab.measure import Score, score
from orchestra.lab.probe import linear_probe
from orchestra.lab.table import Table
from orchestra.runtime.model import ComposedModel

SEED = 20_240_104  # questions are drawn from other seeds than examples


def measure(
    model: ComposedModel, words: PreTrainedTokenizerFast, table: Table, *, questions: int, seed: int = SEED
) -> dict[str, Any]:
    """Ask every row of the table its questions.

    Args:
        questions: how many per row.

    Returns:
        JSON values: the settings, a score per row and way of answering, and what a linear probe reads.
    """
    rows: dict[str, dict[str, Any]] = {}

    def ask(asked: PreTrainedModel, row: str, example: Callable[[random.Random], Example], way: str) -> Score:
        rng = random.Random(f"{seed}/{row}/{way}")
        found = score(asked, words, [example(rng) for _ in range(questions)])
        rows.setdefault(row, {})[way] = found.record()
        return found

    augment = model.augment("kv")
    ask(
        augment,
        "augment alone: the number behind a key",
        lambda rng: keys.substitution(rng, table, tuple(table.values)),
        "answer",
    )
    for working in (False, True):
        way = "with working" if working else "answer"

        def over(
            kind: keys.Kind, known: tuple[str, ...], working: bool = working
        ) -> Callable[[random.Random], Example]:
            return lambda rng: keys.question(rng, table, known, kind=kind, working=working)

        def plain(rng: random.Random, working: bool = working) -> Example:
            return digits.question(rng, working=working)

        ask(model.anchor, "anchor alone: digits", plain, way)
        ask(augment, "augment alone: keys", over("keys", table.unseen), way)
        ask(model, "composition: keys no bridge saw", over("keys", table.unseen), way)
        ask(model, "composition: keys that bridges saw", over("keys", table.seen), way)
        ask(model, "composition: keys no bridge saw, mixed with digits", over("mixed", table.unseen), way)
        ask(model, "composition: digits", plain, way)
        with model.ablate("kv"):
            ask(model, "augment off: keys no bridge saw", over("keys", table.unseen), way)
    return {
        "questions": questions,
        "seed": seed,
        "keys": table.size,
        "keys_seen_by_bridges": len(table.seen),
        "values": MAX_VALUE + 1,
        "rows": rows,
        "probe_percent_by_augment_layer": probe(model, words, table),
    }


def probe(model: ComposedModel, words: PreTrainedTokenizerFast, table: Table) -> list[float]:
    """What a linear probe, fitted on the keys that bridges see, reads of the others: per augment layer, in percent."""

    def texts(known: tuple[str, ...]) -> tuple[list[str], list[int]]:
        return [f"<{key}>" for key in known], [table.values[key] for key in known]

    scores = linear_probe(
        model.augment("kv"),
        words,
        fit=texts(table.seen),
        test=texts(table.unseen[:3000]),
        num_classes=MAX_VALUE + 1,
    )
    return [round(score, 1) for score in scores]


def report(results: dict[str, Any]) -> str:
    """The table in Markdown."""
    lines = [
        "# kv-small",
        "",
        f"Exact match in percent with 95% Wilson intervals, {results['questions']:,} fresh expressions per cell "
        f"(seed {results['seed']}), greedy decoding.",
        f"The task: {results['keys']:,} keys of 2 to 6 letters onto {results['values']} numbers (0 to "
        f"{results['values'] - 1}), expressions of 2 to 4 operands with + and -; bridges saw "
        f"{results['keys_seen_by_bridges']:,} keys. The paper's task (CALM, table 1) has 25,000 keys onto unique "
        "integers up to 25,000, 3 to 6 operands, and products as well.",
        "",
        "| | answer at once | with working | most frequent answer |",
        "|---|---|---|---|",
    ]
    for row, ways in results["rows"].items():
        guess = max(way["guess"] for way in ways.values())
        lines.append(f"| {row} | {cell(ways.get('answer'))} | {cell(ways.get('with working'))} | {guess:.1f} |")
    probes = ", ".join(
        f"layer {layer}: {share:.1f}" for layer, share in enumerate(results["probe_percent_by_augment_layer"])
    )
    lines += [
        "",
        "A linear probe on the augment's state at the end of a key, fitted on the keys that bridges saw, reads this "
        f"share of the other keys' numbers: {probes}.",
    ]
    if results.get("cpu_minutes"):
        times = ", ".join(f"{stage} {minutes}" for stage, minutes in results["cpu_minutes"].items())
        lines += ["", f"CPU minutes of training, one thread: {times}."]
    lines += ["", "Made by `orchestra reproduce kv-small`."]
    return "\n".join(lines) + "\n"


def cell(record: dict[str, Any] | None) -> str:
    """A score as it stands in a table; empty where there is none."""
    if record is None:
        return ""
    low, high = record["interval"]
    return f"{record['percent']:.1f} [{low:.1f}, {high:.1f}]"
