"""What a composition is worth beside simpler methods: the controls of CALM's Table 5, on the same data and steps.

An experiment is a value (`Controlled`); `lab.control_entries` has one per name, made when it is asked for. To add one,
say what is composed, how batches are drawn, and what is asked:

    def capitals(output: Path, scale: str) -> Controlled:
        words = ...                                   # the anchor's tokenizer
        return Controlled(
            name="capitals",
            about="Which city is the capital of which country.",
            anchor=output / "graphs/models/reader", augment=output / "graphs/models/atlas",
            bridges={"every": 2, "gate": "token"},    # the recipe of a fresh stack
            bundle=output / "bridges/capitals",       # the composed stack, trained as `fit` says; None trains it here
            vanilla=output / "graphs/models/reader", vanilla_is="the anchor itself",
            lesson=draw, encode=partial(encode, words), fit=Fit(steps=800, batch=64, rate=3e-3, muon=0.0),
            tune=(encode(words, fresh),),             # batches on which the rates of LoRA and of fine-tuning are chosen
            tasks={"unseen": exact(words, questions)},
            known={"English": nats(words, texts)},    # the anchor's own, to see what a control forgot
            settings={"questions": 1000, "seed": 7},  # what else decides the numbers; other settings start anew
        )

    ENTRIES["capitals"] = capitals                # then: orchestra reproduce controls --only capitals

`lesson`, `encode` and `fit` are those of `fitting.fit`. A batch may hold twins: what a bridge at the embedding is
pulled towards. LoRA and fine-tuning have no bridge; they learn from the same rows without them. A task is any function
from a model to a value per question, higher being better: 1 or 0, or a score such as chrF over 100; or `nats`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestra.io.checkpoint import write_atomically
from orchestra.lab import written
from orchestra.lab.control_rows import ROWS, Place
from orchestra.lab.controlled import Controlled
from orchestra.lab.controls_report import ALONE, report, summary

Results = dict[str, Any]
"""By row: what was trained, and the values of every question by task."""


def run(experiment: Controlled, runs: Path) -> Iterator[Results]:
    """Train and score every row, one after another; what is there is taken as it is.

    Args:
        runs: where scores are kept and what trainings resume from, in a folder of the experiment's own.

    Yields:
        The results so far, after each row.
    """
    place = Place(experiment, runs / f"{experiment.name}-{experiment.digest}")
    kept = place.folder / "scores.json"
    found: Results = _read(kept)
    for name, make in ROWS.items():
        asked = experiment.alone if name == ALONE else experiment.tasks
        if name not in found and asked:
            model, told = make(place)
            known = {} if name == ALONE else experiment.known
            values = {task: list(map(float, one.ask(model))) for task, one in {**asked, **known}.items()}
            found[name] = {**told, "values": values}
            place.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, json.dumps(found))
        yield found


def reproduce(
    output: Path, experiments: Mapping[str, Callable[[Path, str], Controlled]], *, scale: str = "small"
) -> dict[str, Any]:
    """Make the controls of these experiments, and write what there is after every row.

    Args:
        experiments: those of `lab.control_entries`, or some of them.
        output: where `benchmarks/results/` is, and `runs/` for what resumes; experiments that were made before stay.

    Returns:
        The results of all experiments, as written to `benchmarks/results/controls.json`, or `controls-large.json`.
    """
    called = written.named("controls", scale)
    kept = output / written.FOLDER / f"{called}.json"
    for name, make in experiments.items():
        experiment = make(output, scale)
        for found in run(experiment, output / "runs" / "controls"):
            results = _read(kept) | {name: summary(experiment, found)}  # read each time: others may be at work, too
            written.write(output, called, json.dumps(results, indent=2), report(results))
    return _read(kept)


def _read(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    return found
