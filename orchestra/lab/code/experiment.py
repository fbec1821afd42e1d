"""An English-reading anchor that completes, writes and explains code through a small model of Python."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestra.lab import written
from orchestra.lab.code import augment as own
from orchestra.lab.code import table
from orchestra.lab.code.functions import Function, functions, held_out, sources, split
from orchestra.lab.contest import start
from orchestra.lab.contest.contest import FINE_TUNED, Asked, Contest, Pairs, Row, Rules, digest
from orchestra.lab.contest.learners import Learner, shuffled
from orchestra.lab.contest.records import Record
from orchestra.lab.fitting import Fit
from orchestra.lab.weights.fetch import fetch, folder
from orchestra.nn.bridge import Bridge

ANCHOR = "smollm2"
"""SmolLM2-135M-Instruct: reads English, and has read much code, of which this library is likely a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that decides what comes out.

    Attributes:
        train, tune, test: functions; each is a record of every task.
        augment: how the augment learns; `width`, `layers`, `vocabulary`, `length`: what it is.
        pairs: layers of the augment, and those of the anchor that they are read into; `itself`: with the anchor's own
            model as augment.
    """

    train: int = 600
    tune: int = 40
    test: int = 100
    epochs: int = 1
    batch: int = 8
    shots: int = 2
    prose: int = 100
    augment: Fit = field(
        default_factory=lambda: Fit(steps=1400, batch=32, rate=1e-3, warmup=100, save_every=50, attention="sdpa")
    )
    width: int = 256
    layers: int = 4
    vocabulary: int = 4096
    length: int = 256
    pairs: Pairs = ((1, 0), (2, 5), (3, 10), (3, 20))
    itself: Pairs = ((10, 0), (19, 5), (28, 10), (28, 20))


LARGE = Settings(
    augment=Fit(steps=20_000, batch=128, rate=1e-3, warmup=500, attention="sdpa"),
    width=512,
    layers=12,
    train=1500,
    test=200,
    epochs=4,
    batch=16,
    pairs=((4, 0), (7, 5), (11, 10), (11, 20)),
)


def reproduce(
    output: Path, settings: Settings | None = None, *, rows: Sequence[str] = (), name: str = "code"
) -> dict[str, Any]:
    """Train what is not there, fill in the rows that are missing, and write the table of all that are there.

    Args:
        output: where `benchmarks/results/` is written, and `runs/` for what resumes.
        rows: fill in only these; default: all.
        name: what the results are called.

    Returns:
        The results, as written to `benchmarks/results/NAME.json`.
    """
    chosen, work = settings or Settings(), output / "runs/code"
    fetch(ANCHOR)
    files = list(sources())
    found = [one for module, text in files for one in functions(text, module)]
    parts = split(found, train=chosen.train, tune=chosen.tune, test=chosen.test)
    shown = [text for module, text in files if held_out(module) == "train"]
    size = {"width": chosen.width, "layers": chosen.layers, "vocabulary": chosen.vocabulary, "length": chosen.length}
    augment = own.augment(work / f"augment-{digest(shown, chosen.augment, size)}", shown, chosen.augment, **size)
    contest = Contest(_rules(chosen, parts.train, parts.tune, parts.test), folder(ANCHOR), work, chosen)
    done = contest.rows(_rows(chosen, parts.train, contest, augment), rows)
    counts = {part: len(getattr(parts, part)) for part in ("train", "tune", "test")} | {"epochs": chosen.epochs, **size}
    result = table.result(done, parts.test, {task: records(task, parts.test) for task in TASKS}, counts)
    written.write(output, name, json.dumps(result, ensure_ascii=False, indent=1), table.markdown(result))
    return result


def _complete(function: Function) -> Record:
    """The first half of a body is there; the second is asked for."""
    lines = function.body.split("\n")
    half = len(lines) // 2
    begun = "\n".join([f"# {function.told}", function.head, *lines[:half]])
    return Record(f"{begun}\n", "\n".join(lines[half:]))


def _write(function: Function) -> Record:
    return Record(f"# {function.told}\n{function.head}\n", function.body)


def _explain(function: Function) -> Record:
    return Record(f"{function.code}\n#", f" {function.told}")


TASKS: Mapping[str, Callable[[Function], Record]] = {
    "completion": _complete,
    "text-to-code": _write,
    "code-to-text": _explain,
}


def records(task: str, found: Sequence[Function]) -> list[Record]:
    """Functions as the records of a task."""
    return [TASKS[task](function) for function in found]


def _rules(settings: Settings, train: Sequence[Function], tune: Sequence[Function], test: Sequence[Function]) -> Rules:
    stops = {"completion": "\n\n", "text-to-code": "\n\n", "code-to-text": "\n"}
    prompts = {task: [record.prompt for record in records(task, test)] for task in TASKS}
    return Rules(
        train=[record for task in TASKS for record in records(task, train)],
        tune=[record for task in TASKS for record in records(task, tune)],
        asked={task: Asked(prompts=prompts[task], most=64, stop=stops[task]) for task in TASKS},
        epochs=settings.epochs,
        batch=settings.batch,
        tuned_rate=2e-4,
        prose=settings.prose,
        tail="provisional",
    )


def _rows(
    settings: Settings, train: Sequence[Function], contest: Contest, augment: Path
) -> dict[str, Callable[[], Row]]:
    """What fills each row in, in the order of the table."""
    anchor, pairs = contest.anchor, settings.pairs
    short = sorted(train, key=lambda one: len(one.code))[: settings.shots]
    shown = {task: "".join(f"{one.prompt}{one.completion}\n\n" for one in records(task, short)) for task in TASKS}

    def begin(learner: Learner) -> None:
        """Both models have read the same text, so bridges begin by telling the anchor its own states."""
        bridges = [module for module in learner.model.modules() if isinstance(module, Bridge)]
        read = contest.batches(contest.rules.train[:500])
        start.even_out(bridges, learner.prepare(read[::8]), read[::8])

    def random() -> Row:
        return contest.bridged("random augment", shuffled(augment, contest.work / "random"), pairs, begin=begin)

    return {
        "anchor": lambda: contest.alone(anchor, shown),
        "augment": lambda: contest.alone(augment, {}),
        FINE_TUNED: contest.fine_tuned,
        "lora": lambda: contest.lora(contest.bridges(augment, pairs).num_weights),
        "random augment": random,
        "vanilla augment": lambda: contest.bridged("vanilla augment", anchor, settings.itself, begin=begin),
        "prompt only": lambda: contest.bridged("prompt only", augment, pairs, begin=begin, context="prompt"),
        "composition": lambda: contest.bridged("composition", augment, pairs, begin=begin),
    }
