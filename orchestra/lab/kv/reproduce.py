"""The paper's Table 1 at its own size: 25,000 keys, expressions of 3 to 6 of them with +, - and *.

Every stage is skipped when its result is there, and goes on from its last checkpoint when it was cut off. The anchor
and the augment know nothing of each other: they may be trained at the same time, by two processes.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from orchestra.api import load
from orchestra.lab import written
from orchestra.lab.clock import timed
from orchestra.lab.kv import anchor, augment, bridges, scoring, words
from orchestra.lab.kv.report import report
from orchestra.lab.kv.settings import Settings, settings
from orchestra.lab.models import placed
from orchestra.runtime.model import ComposedModel


def reproduce(output: Path, scale: str = "small", made: Settings | None = None) -> dict[str, Any]:
    """Train and measure.

    Args:
        output: where `kv/SCALE/` is written (models, bundle, graph, and what resumes), and `benchmarks/results/`.
        made: settings of one's own; default: those of the scale.

    Returns:
        The results, as written to `benchmarks/results/kv.json`, or `kv-large.json`.
    """
    made, folder = made or settings(scale), output / "kv" / scale
    tokenizer = words.build()
    train_anchor(folder, tokenizer, made)
    train_augment(folder, tokenizer, made)
    model = train_bridges(folder, tokenizer, made)
    results = {"scale": scale, **measure(model, tokenizer, made), "cpu_minutes": _cpu_minutes(folder)}
    written.write(output, written.named("kv", scale), json.dumps(results, indent=2), report(results))
    return results


def train_anchor(folder: Path, tokenizer: PreTrainedTokenizerFast, made: Settings) -> Path:
    """The folder of the anchor, trained if it is not there."""

    def train() -> LlamaForCausalLM:
        model = placed(anchor.fresh(tokenizer, made.anchor, seed=0))
        start = 0
        for name, lessons in made.lessons.items():
            checkpoint = folder / f"runs/anchor-{name}.pt"
            anchor.train(model, tokenizer, lessons, checkpoint=checkpoint, start=start)
            start += lessons.steps
        return model

    return _once(folder, "anchor", tokenizer, train)


def train_augment(folder: Path, tokenizer: PreTrainedTokenizerFast, made: Settings) -> Path:
    """The folder of the augment, trained if it is not there."""

    def train() -> LlamaForCausalLM:
        model = placed(anchor.fresh(tokenizer, made.augment, seed=1))
        for stage in made.stages:
            checkpoint = folder / f"runs/augment-{stage.name}.pt"
            augment.train(model, tokenizer, made.table, stage, checkpoint=checkpoint)
        return model

    return _once(folder, "augment", tokenizer, train)


def train_bridges(folder: Path, tokenizer: PreTrainedTokenizerFast, made: Settings) -> ComposedModel:
    """The composition, its stack trained if it is not there."""
    bundle, graph = folder / "bundle", folder / "graph.json"
    if not bundle.is_dir():
        stack = bridges.fresh(made.augment.layers)
        with timed(folder / "runs/bridges.time"):
            document = bridges.document((folder / "anchor").resolve(), (folder / "augment").resolve(), stack)
            model = placed(load(document))
            checkpoint = folder / "runs/bridges.pt"
            loss = bridges.train(model, tokenizer, made.table, made.bridges, checkpoint=checkpoint)
        model.save_stack("kv", bundle, scores={"loss at the end of training": round(loss, 4)})
    kept = bridges.document(Path("anchor"), Path("augment"), "bundle")
    graph.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return placed(load(graph))


def measure(model: ComposedModel, tokenizer: PreTrainedTokenizerFast, made: Settings) -> dict[str, Any]:
    """Every cell: the augment alone, the anchor alone, and composed, on keys that no bridge saw and on digits."""
    digits = scoring.over_digits(made.questions)
    keys = scoring.over_keys(made.questions, made.table)
    seen = scoring.over_keys(made.questions, made.table, seen=True)
    results: dict[str, Any] = {"questions": made.questions, "seed": scoring.SEED, "keys": made.table.size}
    results["augment"] = {"keys": augment.score(model.augment("kv"), tokenizer, made.table, made.questions)}
    with model.ablate("kv"):
        results["anchor"] = {"digits": scoring.score(model, tokenizer, digits)}
        results["anchor"]["keys"] = scoring.score(model, tokenizer, keys)
    composed = {"digits": digits, "keys": keys, "seen keys": seen}
    results["composed"] = {name: scoring.score(model, tokenizer, asked) for name, asked in composed.items()}
    return results


def _once(folder: Path, name: str, words: PreTrainedTokenizerFast, train: Callable[[], LlamaForCausalLM]) -> Path:
    """Train and save a model, unless it is there already; its folder appears only when it is complete."""
    found = folder / name
    if not found.is_dir():
        with timed(folder / f"runs/{name}.time"):
            model = train()
        partial = folder / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        model.save_pretrained(partial)
        words.save_pretrained(partial)
        partial.rename(found)
    return found


def _cpu_minutes(folder: Path) -> dict[str, float]:
    clocks = {name: folder / f"runs/{name}.time" for name in ("anchor", "augment", "bridges")}
    return {name: round(float(clock.read_text()) / 60, 1) for name, clock in clocks.items() if clock.is_file()}
