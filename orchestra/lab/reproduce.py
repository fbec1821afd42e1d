"""Trains and measures a demo from nothing, and writes models, bundles, graph and tables.

Every stage is skipped when its result is there, and goes on from its last checkpoint when it was cut off. Demos share
models and bundles: what one has trained, another takes.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from orchestra.api import load
from orchestra.draw import svg
from orchestra.lab import tokenizer, written
from orchestra.lab.clock import timed
from orchestra.lab.exercises import encode_with_twins, exercise
from orchestra.lab.fitting import fit
from orchestra.lab.models import freeze_answers, small_llama, write_number_embeddings
from orchestra.lab.recipe import Model, Recipe, Specialist, Stage
from orchestra.lab.results import cell, measure, report
from orchestra.runtime.model import ComposedModel


def document(recipe: Recipe) -> dict[str, Any]:
    """The graph document of a demo, with paths relative to `graphs/`."""
    return {
        "$schema": "graph.schema.json",
        "format": "orchestra/graph@1",
        "description": recipe.description,
        "anchor": {"model": f"models/{recipe.anchor.name}", "dtype": "float32"},
        "augments": {one.name: _augment(one, f"../bridges/{one.bundle}") for one in recipe.specialists},
    }


def reproduce(output: Path, recipe: Recipe) -> dict[str, Any]:
    """Train and measure a demo.

    Args:
        output: where `graphs/`, `bridges/` and `benchmarks/results/` are written, and `runs/` for what resumes.

    Returns:
        The results, as written to `benchmarks/results/NAME.json`.
    """
    words, runs = tokenizer.build(), output / "runs"
    train(output, recipe)
    graph = output / "graphs" / f"{recipe.name}.json"
    graph.write_text(json.dumps(document(recipe), indent=2) + "\n", encoding="utf-8")
    model = load(graph)
    graph.with_suffix(".svg").write_text(svg(model.plan), encoding="utf-8")
    results = measure(model, words, recipe, runs=runs / recipe.name)
    results["cpu_minutes"] = _cpu_minutes(runs, recipe)
    written.write(output, recipe.name, json.dumps(results, indent=2), report(results))
    _score_cards(output, recipe, model, results)
    return results


def train(output: Path, recipe: Recipe) -> None:
    """Train the models and stacks of a demo that are not there."""
    words = tokenizer.build()
    _train_anchor(output, words, recipe.anchor)
    for specialist in recipe.specialists:
        _train_augment(output, specialist)
        _train_stack(output, words, recipe, specialist)


def _cpu_minutes(runs: Path, recipe: Recipe) -> dict[str, float]:
    """CPU minutes of each training of a demo, those of another run left out."""
    names = [recipe.anchor.name, *(name for one in recipe.specialists for name in (one.name, f"{one.name}-bridges"))]
    clocks = {name: runs / f"{name}.time" for name in names}
    return {name: round(float(clock.read_text()) / 60, 1) for name, clock in clocks.items() if clock.is_file()}


def _train_anchor(output: Path, words: PreTrainedTokenizerFast, anchor: Model) -> None:
    def train(clock: Path) -> LlamaForCausalLM:
        model = _fresh(words, anchor)
        write_number_embeddings(model, words)
        for name, stage in anchor.stages.items():
            _learn(model, words, stage, clock.with_name(f"{anchor.name}-{name}.pt"))
        return model

    _once(output, anchor.name, words, train)


def _train_augment(output: Path, specialist: Specialist) -> None:
    words = specialist.model.tokenizer()

    def train(clock: Path) -> LlamaForCausalLM:
        model = _fresh(words, specialist.model)
        for name, stage in specialist.model.stages.items():
            freeze_answers(model, [words.get_vocab()[answer] for answer in specialist.answers], size=stage.answers)
            _learn(model, words, stage, clock.with_name(f"{specialist.name}-{name}.pt"))
        return model

    _once(output, specialist.model.name, words, train)


def _learn(model: LlamaForCausalLM, words: PreTrainedTokenizerFast, stage: Stage, checkpoint: Path) -> None:
    made = partial(stage.encode, words)
    fit(model, stage.lesson, made, stage.fit, checkpoint=checkpoint, title=checkpoint.stem)


def _train_stack(output: Path, words: PreTrainedTokenizerFast, recipe: Recipe, specialist: Specialist) -> None:
    """Train the stack of one specialist, with no other in sight."""
    bundle = output / "bridges" / specialist.bundle
    if bundle.is_dir():
        return
    name = f"{specialist.name}-bridges"
    with timed(output / "runs" / f"{name}.time"):
        model = load(_absolute(output, recipe, specialist))
        loss = fit(
            model,
            lambda rng, _: exercise(rng, specialist.domain),
            partial(encode_with_twins, words),
            specialist.bridges,
            checkpoint=output / "runs" / f"{name}.pt",
            title=name,
        )
    scores = {"loss at the end of training": round(loss, 4)}
    model.save_stack(specialist.name, bundle, recipe=_card_recipe(recipe, specialist), scores=scores)


def _absolute(output: Path, recipe: Recipe, specialist: Specialist) -> dict[str, Any]:
    """The document with one specialist and a fresh stack, its paths absolute."""
    one = document(recipe) | {"augments": {specialist.name: _augment(specialist, specialist.stack)}}
    del one["$schema"]
    for node in (one["anchor"], *one["augments"].values()):
        node["model"] = str((output / "graphs" / node["model"]).resolve())
    return one


def _augment(specialist: Specialist, bridges: str | dict[str, Any]) -> dict[str, Any]:
    return {"model": f"models/{specialist.model.name}", "dtype": "float32", "bridges": bridges}


def _score_cards(output: Path, recipe: Recipe, model: ComposedModel, results: dict[str, Any]) -> None:
    """Write into each bundle's card what its stack scores alone; stacks of other demos keep theirs."""
    for one in recipe.specialists:
        if len(recipe.specialists) > 1 and not one.bundle.startswith(recipe.name):
            continue
        row = results["matrix"]["answer"][one.name]
        scores = {f"exact match, {column}, answer at once": cell(row[column]) for column in (one.name, "digits")}
        model.save_stack(one.name, output / "bridges" / one.bundle, recipe=_card_recipe(recipe, one), scores=scores)


def _card_recipe(recipe: Recipe, specialist: Specialist) -> dict[str, Any]:
    """How the bridges were trained, for the bundle's card."""
    names = ("steps", "batch", "rate", "muon", "weight_decay", "warmup", "seed")
    return {
        "command": f"orchestra reproduce {recipe.name}",
        "data": f"expressions over atoms of this domain alone, digits, and other text; {specialist.atoms}",
        **{name: getattr(specialist.bridges, name) for name in names},
    }


def _fresh(words: PreTrainedTokenizerFast, model: Model) -> LlamaForCausalLM:
    return small_llama(words, width=model.width, layers=model.layers, inner=model.inner * model.width, seed=model.seed)


def _once(output: Path, name: str, words: PreTrainedTokenizerFast, train: Callable[[Path], LlamaForCausalLM]) -> None:
    """Train and save a model, unless it is there already; the folder appears only when it is complete."""
    folder, clock = output / "graphs/models" / name, output / "runs" / f"{name}.time"
    if folder.is_dir():
        return
    with timed(clock):
        model = train(clock)
    partial_ = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial_, ignore_errors=True)
    model.bfloat16().save_pretrained(partial_)
    words.save_pretrained(partial_)
    partial_.rename(folder)
