"""What the sites that `orchestra probe` proposes are worth: trained beside the default ones, with the same budget.

python -m benchmarks.sites {kv,tetum,python,translation} [--steps 400] [--probe-only] [--output runs/sites]

`kv`, `tetum` and `python` are the trio's: the probe reads single atoms, bridges learn expressions over atoms that they
may see, and are asked expressions over atoms that they have not seen. `translation` is SmolLM2 reading Macedonian
through gemma-3-270m (`make real` fetches both); pairs are programs' messages, out of Debian's packages, some programs
held out. Both sides get the same records in the same order, the same number of steps, gates and rate. Cut off, the same
command goes on; what is there is not done again. The result is `result.json` in a folder of its settings, and a table.
"""

import argparse
import json
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestra.api import load
from orchestra.lab.exercises import Exercise, exercise, question
from orchestra.lab.recipe import Specialist, recipes
from orchestra.lab.translation.catalogues import catalogues
from orchestra.lab.translation.data import pairs, split
from orchestra.lab.weights.fetch import folder
from orchestra.probing import ProbeSpec, probe
from orchestra.train import TrainSpec, train
from orchestra.train.encode import read_examples
from orchestra.train.held_out import Scores, score
from orchestra.train.swap_result import SwapResult, row

GRAPHS = Path(__file__).resolve().parents[1] / "graphs"
Record = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is compared.

    Attributes:
        document: the graph, without bridges.
        probed, learnt, held: records that the probe reads, that bridges learn, and that they are asked.
    """

    document: dict[str, Any]
    probed: Iterable[Record]
    learnt: Iterable[Record]
    held: Iterable[Record]
    rate: float
    batch: int


def main() -> None:
    """Run a comparison."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("name", choices=("kv", "tetum", "python", "translation"))
    told.add_argument("--steps", type=int, default=400)
    told.add_argument("--batch", type=int, help="Records per step. Default: 64, or 8 of the translation.")
    told.add_argument("--held", type=int, default=300, help="Records to be asked.")
    told.add_argument("--side", choices=("default", "proposed"), help="Train one side only. Default: both, in turn.")
    told.add_argument("--probe-only", action="store_true", help="Train nothing.")
    told.add_argument("--output", type=Path, default=Path("runs/sites"))
    asked = told.parse_args()
    task = translation(asked) if asked.name == "translation" else specialist(asked)
    place = asked.output / f"{asked.name}-{asked.steps}x{task.batch}-{asked.held}"  # what is kept is of these settings
    place.mkdir(parents=True, exist_ok=True)
    files = {name: written(place / f"{name}.jsonl", getattr(task, name)) for name in ("probed", "learnt", "held")}
    found = proposed(task, files["probed"], place / "probe.json")
    sides: dict[str, dict[str, Any]] = {"default": {"every": 4}, "proposed": {"pairs": found}}
    result = {"steps": asked.steps, "batch": task.batch, "rate": task.rate, "pairs": found, "sides": {}}
    for side, bridges in sides.items():
        kept = place / f"{side}.json"
        if not kept.is_file() and not asked.probe_only and asked.side in (None, side):
            kept.write_text(json.dumps(trained(task, files, place / side, bridges, asked.steps)), encoding="utf-8")
        if kept.is_file():
            result["sides"][side] = json.loads(kept.read_text(encoding="utf-8"))
    (place / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(result["sides"]), flush=True)


def specialist(asked: argparse.Namespace) -> Task:
    """A specialist of the trio, joined anew."""
    [own] = (one for one in recipes()["trio"].specialists if one.name == asked.name)
    model = {"dtype": "float32"}
    batch = asked.batch or 64
    rng, test = random.Random(0), random.Random(1)
    return Task(
        document={
            "format": "orchestra/graph@1",
            "anchor": {"model": str(GRAPHS / "models/digits"), **model},
            "augments": {own.name: {"model": str(GRAPHS / f"models/{own.model.name}"), **model}},
        },
        probed=atoms(own),
        learnt=(record(exercise(rng, own.domain)) for _ in range(batch * asked.steps)),
        held=(record(question(test, [own.domain], working=False)) for _ in range(asked.held)),
        rate=3e-3,
        batch=batch,
    )


def atoms(own: Specialist) -> Iterable[Record]:
    """Atoms that bridges may see, up to where they are known, and what they are worth."""
    rng = random.Random(2)
    for atom in sorted({own.domain.draw(rng, True) for _ in range(1500)}):
        yield {"prompt": own.domain.until_known(atom), "completion": str(own.domain.value(atom))}


def record(one: Exercise) -> Record:
    """An exercise as text."""
    prompt, answer = ("".join(part.text for part in one if part.learnt is learnt) for learnt in (False, True))
    return {"prompt": prompt, "completion": answer}


def translation(asked: argparse.Namespace) -> Task:
    """Macedonian into English."""
    batch = asked.batch or 8
    found = split(
        pairs("mk", [catalogues(asked.output / "catalogues", "mk")]),
        train=batch * asked.steps,
        tune=asked.held,
        test=asked.held,
    )
    learnt, held = (
        [{"prompt": f"Macedonian: {one.source}\nEnglish:", "completion": f" {one.english}"} for one in part]
        for part in (found.train, found.tune)
    )
    return Task(
        document={
            "format": "orchestra/graph@1",
            "anchor": {"model": str(folder("smollm2"))},
            "augments": {"gemma": {"model": str(folder("gemma3"))}},
        },
        probed=learnt,
        learnt=learnt,
        held=held,
        rate=1e-3,
        batch=batch,
    )


def written(path: Path, records: Iterable[Record]) -> Path:
    """The records as a file, written once."""
    if not path.is_file():
        partial = path.with_suffix(".partial")
        partial.write_text("".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in records), encoding="utf-8")
        partial.replace(path)
    return path


def proposed(task: Task, records: Path, kept: Path) -> list[dict[str, Any]]:
    """The sites that a probe proposes; what it found is kept."""
    if not kept.is_file():
        started = time.process_time()
        found = probe(document(task, {"every": 4}), ProbeSpec(data=records))
        seconds = round(time.process_time() - started, 1)
        kept.write_text(json.dumps({**found.as_json(), "cpu_seconds": seconds}, indent=2) + "\n", encoding="utf-8")
    [own] = json.loads(kept.read_text(encoding="utf-8"))["pairs"].values()
    return list(own)


def document(task: Task, bridges: dict[str, Any]) -> dict[str, Any]:
    """The graph with these bridges."""
    [(name, augment)] = task.document["augments"].items()
    return {**task.document, "augments": {name: {**augment, "bridges": {"gate": "token", **bridges}}}}


def trained(task: Task, files: Mapping[str, Path], output: Path, bridges: dict[str, Any], steps: int) -> dict[str, Any]:
    """Train one side, and say what came of it, record by record."""
    model = load(document(task, bridges))
    started = time.process_time()
    spec = TrainSpec(
        data=files["learnt"],
        output=output,
        steps=steps,
        batch_size=task.batch,
        learning_rate=task.rate,
        schedule="cosine",
        warmup=steps // 10,
        weight_decay=0.01,
        save_every=50,
    )
    done, words = train(model, spec), model.tokenizer
    assert words is not None
    held = read_examples(files["held"], words, max_length=None, vocab_size=model.plan.graph.anchor.facts.vocab_size)
    how: dict[str, Any] = {
        "batch_size": task.batch,
        "asked": len(held),
        "pad_id": words.pad_token_id or 0,
        "bf16": False,
    }
    scores = score(model, held, **how)
    with model.only():
        without = score(model, held, **{**how, "asked": 1})
    return {
        "sites": [str(site) for site in model.plan.graph.sites],
        "trained": done.num_trained,
        "scores": asdict(scores),
        "loss_without": sum(without.losses) / sum(without.tokens),
        "cpu_seconds": round(time.process_time() - started, 1),
        "spec": {name: str(value) for name, value in asdict(spec).items()},
    }


def table(sides: Mapping[str, Mapping[str, Any]]) -> str:
    """Both sides, and how much worse the proposed one is than the default, paired over the records."""
    found = {name: Scores(**side["scores"]) for name, side in sides.items()}
    rows = [
        row(name, scores, trained=sides[name]["trained"], beside=found.get("default") if name != "default" else None)
        for name, scores in found.items()
    ]
    notes = [
        f"{name}: {', '.join(side['sites'])}; {side['loss_without']:.4f} without bridges; {side['cpu_seconds']} CPU s"
        for name, side in sides.items()
    ]
    return SwapResult(rows=tuple(rows), notes=tuple(notes)).markdown().replace("original's", "default's")


if __name__ == "__main__":
    main()
