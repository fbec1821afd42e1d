"""The demo: an anchor that computes with digits reads the keys of a private table through one augment.

`reproduce` trains anchor, augment and bridges from nothing, measures them, and writes models, bundle, graph and table.
Every stage is skipped when its result is there, and goes on from its last checkpoint when it was cut off.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from orchestra.api import load
from orchestra.draw import svg
from orchestra.lab import digits, keys, tokenizer
from orchestra.lab.expressions import MAX_VALUE
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.kv_results import cell, measure, report
from orchestra.lab.models import freeze_answers, small_llama, write_number_embeddings
from orchestra.lab.table import Table, recite

NAME = "kv-small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what comes out.

    Attributes:
        polish: the augment's second stage, with a shorter head: the less its states hold but the answer, the better a
            linear map reads them.
        questions: how many are asked per row of the results.
    """

    table: Table = field(default_factory=Table)
    anchor: Fit = field(default_factory=lambda: Fit(steps=4500, batch=384, rate=1e-3, noise=0.2, warmup=100))
    anchor_width: int = 128
    anchor_layers: int = 6
    augment: Fit = field(default_factory=lambda: Fit(steps=2200, batch=256, rate=1e-3, weight_decay=0.02))
    polish: Fit = field(
        default_factory=lambda: Fit(steps=700, batch=256, rate=3e-4, weight_decay=0.02, warmup=50, seed=1)
    )
    augment_width: int = 128
    augment_layers: int = 3
    bridges: Fit = field(
        default_factory=lambda: Fit(steps=1500, batch=128, rate=3e-3, muon=0.0, weight_decay=0.01, warmup=50)
    )
    questions: int = 1000


def document(*, bridges: str | dict[str, Any] = "../bridges/kv-small/kv") -> dict[str, Any]:
    """The graph document of the demo, with paths relative to `graphs/`."""
    return {
        "$schema": "graph.schema.json",
        "format": "orchestra/graph@1",
        "description": "An anchor that computes with digits, and a private table that it may look keys up in.",
        "anchor": {"model": "models/digits", "dtype": "float32"},
        "augments": {"kv": {"model": "models/kv", "dtype": "float32", "bridges": bridges}},
    }


def fresh_stack(recipe: Recipe) -> dict[str, Any]:
    """One bridge, from where the value stands (after the last layer) to where all layers are left to compute."""
    return {"gate": "token", "pairs": [{"augment_layer": recipe.augment_layers - 1, "anchor_layer": "embedding"}]}


def reproduce(output: Path, recipe: Recipe | None = None) -> dict[str, Any]:
    """Train and measure the demo.

    Args:
        output: where `graphs/`, `bridges/` and `benchmarks/results/` are written, and `runs/` for what resumes.

    Returns:
        The results, as written to `benchmarks/results/kv-small.json`.
    """
    recipe = recipe or Recipe()
    runs, models, bundle = output / "runs" / NAME, output / "graphs/models", output / "bridges" / NAME / "kv"
    words = tokenizer.build()
    _train_anchor(models / "digits", runs, words, recipe)
    _train_augment(models / "kv", runs, words, recipe)
    _train_bridges(bundle, runs, words, recipe, output / "graphs")
    graph = output / "graphs" / f"{NAME}.json"
    graph.write_text(json.dumps(document(), indent=2) + "\n", encoding="utf-8")
    model = load(graph)
    graph.with_suffix(".svg").write_text(svg(model.plan), encoding="utf-8")
    results = measure(model, words, recipe.table, questions=recipe.questions)
    model.save_stack("kv", bundle, recipe=_card_recipe(recipe), scores=_card_scores(results))
    results["cpu_minutes"] = {path.stem: round(float(path.read_text()) / 60, 1) for path in sorted(runs.glob("*.time"))}
    folder = output / "benchmarks" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (folder / f"{NAME}.md").write_text(report(results), encoding="utf-8")
    return results


def _train_anchor(folder: Path, runs: Path, words: PreTrainedTokenizerFast, recipe: Recipe) -> None:
    def train() -> LlamaForCausalLM:
        width = recipe.anchor_width
        model = small_llama(words, width=width, layers=recipe.anchor_layers, inner=3 * width, seed=0)
        write_number_embeddings(model, words)
        fit(model, words, digits.lesson, recipe.anchor, checkpoint=runs / "anchor.pt", title="anchor: digits")
        return model

    _once(folder, runs / "anchor.time", words, train)


def _train_augment(folder: Path, runs: Path, words: PreTrainedTokenizerFast, recipe: Recipe) -> None:
    everything = tuple(recipe.table.values)

    def train() -> LlamaForCausalLM:
        width = recipe.augment_width
        model = small_llama(words, width=width, layers=recipe.augment_layers, inner=4 * width, seed=1)
        for stage, settings, size in (("learn", recipe.augment, 0.9), ("polish", recipe.polish, 0.6)):
            freeze_answers(model, words, count=min(width, MAX_VALUE + 1), size=size)
            fit(
                model,
                words,
                lambda rng, _: recite(rng, recipe.table, everything),
                settings,
                checkpoint=runs / f"augment-{stage}.pt",
                title=f"augment: kv, {stage}",
            )
        return model

    _once(folder, runs / "augment.time", words, train)


def _train_bridges(bundle: Path, runs: Path, words: PreTrainedTokenizerFast, recipe: Recipe, graphs: Path) -> None:
    if bundle.is_dir():
        return
    with _timed(runs / "bridges.time"):
        draft = graphs / f".{NAME}.draft.json"
        draft.write_text(json.dumps(document(bridges=fresh_stack(recipe))), encoding="utf-8")
        try:
            model = load(draft)
        finally:
            draft.unlink()
        loss = fit(
            model,
            words,
            lambda rng, _: keys.exercise(rng, recipe.table, recipe.table.seen),
            recipe.bridges,
            checkpoint=runs / "bridges.pt",
            title="bridges: kv",
            twin=lambda example: keys.in_digits(example, recipe.table),
        )
    model.save_stack("kv", bundle, recipe=_card_recipe(recipe), scores={"loss at the end of training": round(loss, 4)})


def _card_recipe(recipe: Recipe) -> dict[str, Any]:
    """How the bridges were trained, for the bundle's card."""
    seen, size = len(recipe.table.seen), recipe.table.size
    names = ("steps", "batch", "rate", "muon", "weight_decay", "warmup", "seed")
    return {
        "command": f"orchestra reproduce {NAME}",
        "data": f"expressions over {seen:,} of {size:,} keys, a quarter digits only",
        **{name: getattr(recipe.bridges, name) for name in names},
    }


def _card_scores(results: dict[str, Any]) -> dict[str, str]:
    """Exact match of the composition, for the bundle's card."""
    rows = {row: ways for row, ways in results["rows"].items() if row.startswith("composition")}
    return {f"{row} ({way})": cell(found) for row, ways in rows.items() for way, found in ways.items()}


def _once(folder: Path, clock: Path, words: PreTrainedTokenizerFast, train: Callable[[], LlamaForCausalLM]) -> None:
    """Train and save a model, unless it is there already; the folder appears only when it is complete."""
    if folder.is_dir():
        return
    with _timed(clock):
        model = train()
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.bfloat16().save_pretrained(partial)
    words.save_pretrained(partial)
    partial.rename(folder)


@contextmanager
def _timed(clock: Path) -> Iterator[None]:
    """Add the CPU seconds of a block to a file, over interruptions."""
    clock.parent.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    try:
        yield
    finally:
        before = float(clock.read_text()) if clock.is_file() else 0.0
        clock.write_text(f"{before + time.process_time() - start:.1f}")
