"""Merges specialists in every way, joins them without merging, and asks all of them the same questions.

Every stage is skipped when its result is there: models and scores are kept as they come, in `runs/merging/`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from orchestra.api import load
from orchestra.lab import written
from orchestra.lab.asking import Asker, Scores, loaded, mean
from orchestra.lab.fitting import Fit
from orchestra.lab.joining import Averaged, bundle, document, trained
from orchestra.lab.merging_report import report
from orchestra.lab.merging_ways import CRUMBS, WAYS, Way
from orchestra.lab.specialists import Sizes, Workshop
from orchestra.lab.strings import TASKS, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Everything that decides what comes out.

    Attributes:
        crews: how many specialists are merged, the first of the tasks.
        joined: how many are joined in every way.
        stocked: the task that several specialists learn, and with which seeds.
        ways: how they are merged; `crumbs`: what breadcrumbs are tuned over.
        join: how bridges learn, and the base that is fine-tuned beside them.
    """

    sizes: Sizes = field(default_factory=Sizes)
    questions: int = 300
    tuning: int = 40
    data: int = 1000
    crews: tuple[int, ...] = (2, 4, 8)
    joined: int = 4
    stocked: tuple[str, tuple[int, ...]] = ("rev", (1, 2, 3, 4, 5))
    ways: tuple[Way, ...] = WAYS
    crumbs: tuple[tuple[Way, float], ...] = CRUMBS
    join: Fit = field(default_factory=lambda: _fit(rate=2e-3))
    tune: Fit = field(default_factory=lambda: _fit(rate=3e-4))


def _fit(*, rate: float) -> Fit:
    return Fit(steps=200, batch=64, rate=rate, muon=0.0, weight_decay=0.01, warmup=20)


def reproduce(output: Path, experiment: Experiment | None = None) -> dict[str, Any]:
    """Train and measure everything.

    Args:
        output: where `benchmarks/results/` is written, and `runs/` for what resumes.

    Returns:
        The results, as written to `benchmarks/results/merging.json`.
    """
    settings = experiment or Experiment()
    shop = Workshop(output / "runs" / "merging", settings.sizes)
    asker = Asker(shop, questions=settings.questions, tuning=settings.tuning, data=settings.data)
    results: dict[str, Any] = {
        "name": "merging",
        "questions": settings.questions,
        "tuning": settings.tuning,
        "data": settings.data,
        "alone": {
            "base": asker.folder(shop.base(), TASKS),
            **{task.name: asker.folder(shop.specialist(task), TASKS) for task in TASKS},
        },
        "methods": {str(count): _methods(asker, settings.ways, TASKS[:count]) for count in settings.crews},
        "breadcrumbs": _breadcrumbs(asker, settings),
        "stock": _stock(asker, *settings.stocked),
        "joined": _joined(asker, TASKS[: settings.joined], settings),
    }
    results["cpu_seconds"] = shop.cpu_seconds()
    written.write(output, "merging", json.dumps(results, indent=2), report(results))
    return results


def _methods(asker: Asker, known: Sequence[Way], tasks: Sequence[Task]) -> dict[str, Any]:
    """Every method's merge of the tasks' specialists."""
    ways = [way for way in known if way.most is None or len(tasks) <= way.most]
    return {way.method: _tuned(asker, [(way, strength) for strength in way.strengths()], tasks) for way in ways}


def _tuned(asker: Asker, candidates: Sequence[tuple[Way, float | None]], tasks: Sequence[Task]) -> dict[str, Any]:
    """The candidate that is best on the validation questions, and its scores on the others."""
    best = candidates[0]
    if len(candidates) > 1:
        best = max(candidates, key=lambda one: mean(asker.recipe(_recipe(asker, one, tasks), tasks, tune=True)))
    way, strength = best
    scores = asker.recipe(_recipe(asker, best, tasks), tasks)
    return {"settings": dict(way.settings), "strength": strength, "scores": scores, "mean": round(mean(scores), 2)}


def _recipe(asker: Asker, candidate: tuple[Way, float | None], tasks: Sequence[Task]) -> dict[str, Any]:
    way, strength = candidate
    return way.recipe(asker.shop.base(), [asker.shop.specialist(task) for task in tasks], strength)


def _breadcrumbs(asker: Asker, settings: Experiment) -> dict[str, Any]:
    """Breadcrumbs tuned on few specialists and reused on many, against tuned on many."""
    few, many = TASKS[: settings.crews[0]], TASKS[: settings.crews[-1]]
    own, reused = _tuned(asker, settings.crumbs, few), _tuned(asker, settings.crumbs, many)
    way = Way(method="breadcrumbs", settings=own["settings"])
    again = _tuned(asker, [(way, own["strength"])], many)
    shared = _tuned(asker, [(way, own["strength"] * len(few) / len(many))], many)
    return {
        "tuned on few": own,
        "reused on many": again,
        "reused on many, the weight shared out": shared,
        "tuned on many": reused,
    }


def _stock(asker: Asker, name: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Specialists of one task: each alone, model stock of two or three, and the average of more."""
    task = next(task for task in TASKS if task.name == name)
    folders = [asker.shop.specialist(task, seed=seed) for seed in seeds]
    rows: dict[str, Scores] = {}
    for seed, folder in zip(seeds, folders, strict=True):
        rows[f"seed {seed}"] = asker.folder(folder, [task])
    for method, counts in (("linear", range(2, len(seeds) + 1)), ("model_stock", range(2, min(3, len(seeds)) + 1))):
        way = next(way for way in WAYS if way.method == method)
        for count in counts:
            rows[f"{method} of {count}"] = asker.recipe(way.recipe(asker.shop.base(), folders[:count]), [task])
    return {"task": name, "rows": {row: scores[name] for row, scores in rows.items()}}


def _joined(asker: Asker, tasks: Sequence[Task], settings: Experiment) -> dict[str, Any]:
    """The same specialists, merged, averaged and composed, with the same examples to learn from."""
    shop, base = asker.shop, asker.shop.base()
    folders = {task.name: shop.specialist(task) for task in tasks}
    data = [example for task in tasks for example in asker.learnable(task)]
    merged = max(
        ((way, strength) for way in settings.ways if way.most is None for strength in way.strengths()),
        key=lambda one: mean(asker.recipe(_recipe(asker, one, tasks), tasks, tune=True)),
    )
    recipe = _recipe(asker, merged, tasks)
    paths = {name: str(folder) for name, folder in folders.items()}

    def specialists() -> list[PreTrainedModel]:
        return [loaded(folder) for folder in folders.values()]

    def joined(name: str, augments: Mapping[str, Any]) -> PreTrainedModel:
        return trained(shop, name, document(base, augments), data, settings.join)

    def apart() -> PreTrainedModel:
        stacks = {
            task.name: bundle(shop, task.name, folders[task.name], asker.learnable(task), settings.join)
            for task in tasks
        }
        return load(document(base, paths, stacks))

    again = f"with-{asker.name(recipe)}"  # another merge has another stack
    ways: dict[str, tuple[str, Callable[[], Any]]] = {
        "base": ("base", lambda: loaded(base)),
        "base, fine-tuned": ("control", lambda: loaded(shop.tuned("control", data, settings.tune))),
        f"merged ({merged[0].method})": (asker.name(recipe), lambda: asker.merged(recipe)),
        "logits averaged": ("averaged", lambda: Averaged(specialists())),
        "composed, stacks trained together": ("together", lambda: joined("together", paths)),
        "composed, stacks trained apart": ("apart", apart),
        "composed with the base itself, as often": (
            "itself",
            lambda: joined("itself", dict.fromkeys(paths, str(base))),
        ),
        "composed with the merge": (again, lambda: joined(again, {"merge": {"merge": recipe}})),
    }
    rows = {title: asker.joined(name, make, tasks) for title, (name, make) in ways.items()}
    own = {task.name: asker.folder(folders[task.name], [task])[task.name] for task in tasks}
    return {"merged": merged[0].method, "strength": merged[1], "specialists": own, "rows": rows}
