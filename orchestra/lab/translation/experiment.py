"""A composition that translates out of one language, beside what it is made of and what could replace it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestra.lab import written
from orchestra.lab.contest import start
from orchestra.lab.contest.contest import FINE_TUNED, Asked, Contest, Pairs, Row, Rules
from orchestra.lab.contest.learners import Learner, shuffled
from orchestra.lab.contest.records import Record
from orchestra.lab.translation import data, table
from orchestra.lab.translation.catalogues import catalogues
from orchestra.lab.weights.fetch import fetch, folder
from orchestra.nn.bridge import Bridge

PAIRS = ((4, 0), (6, 3), (8, 6), (11, 10), (17, 21), (17, 28))
"""Layers of gemma-3-270m (18), and the layers of SmolLM2-135M (30) that they are read into."""
ITSELF = ((7, 0), (10, 3), (13, 6), (18, 10), (28, 21), (28, 28))
"""The same for SmolLM2 in gemma's place, at the same depths."""
TASK = "translation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that decides what comes out.

    Attributes:
        language, name: its code, as catalogues call it, and as the models read it.
        train, tune, test: pairs.
        shots: examples in the prompt of a model that is not trained.
        prose: texts that tell what is left of the anchor's English.
        pairs: layers of the augment, and those of the anchor that they are read into; `itself`: with the anchor's own
            model as augment.
    """

    language: str = "mk"
    name: str = "Macedonian"
    train: int = 4000
    tune: int = 100
    test: int = 200
    shots: int = 5
    epochs: int = 1
    batch: int = 8
    prose: int = 100
    pairs: Pairs = PAIRS
    itself: Pairs = ITSELF


LARGE = Settings(train=20_000, test=1000, epochs=3, batch=64)


def reproduce(
    output: Path, settings: Settings | None = None, *, rows: Sequence[str] = (), name: str = "translation"
) -> dict[str, Any]:
    """Fetch what is not there, fill in the rows that are missing, and write the table of all that are there.

    Args:
        output: where `benchmarks/results/` is written, and `runs/` for what resumes.
        rows: fill in only these; default: all.
        name: what the results are called.

    Returns:
        The results, as written to `benchmarks/results/NAME.json`.

    Raises:
        DataError: the catalogues cannot be fetched.
    """
    chosen = settings or Settings()
    for model in ("smollm2", "gemma3"):
        fetch(model)
    work = output / "runs/translation"
    found = data.pairs(chosen.language, [catalogues(work / "catalogues", chosen.language)])
    parts = data.split(found, train=chosen.train, tune=chosen.tune, test=chosen.test)
    contest = Contest(_rules(chosen, parts), folder("smollm2"), work, chosen)
    done = contest.rows(_rows(chosen, parts, contest), rows)
    result: dict[str, Any] = table.result(done, parts, chosen.name, epochs=chosen.epochs, shots=chosen.shots)
    written.write(output, name, json.dumps(result, ensure_ascii=False, indent=1), table.markdown(result))
    return result


def _rules(settings: Settings, parts: data.Split) -> Rules:
    return Rules(
        train=[_record(settings.name, pair) for pair in parts.train],
        tune=[_record(settings.name, pair) for pair in parts.tune],
        asked={TASK: Asked(prompts=[_record(settings.name, pair).prompt for pair in parts.test], most=40)},
        epochs=settings.epochs,
        batch=settings.batch,
        prose=settings.prose,
        tail="provisional",
    )


def _record(language: str, pair: data.Pair) -> Record:
    return Record(f"{language}: {pair.source}\nEnglish:", f" {pair.english}")


def _rows(settings: Settings, parts: data.Split, contest: Contest) -> dict[str, Callable[[], Row]]:
    """What fills each row in, in the order of the table."""
    anchor, augment, pairs = contest.anchor, folder("gemma3"), settings.pairs
    some = parts.train[: settings.shots]
    records = [_record(settings.name, pair) for pair in some]
    shown = {TASK: "".join(f"{record.prompt}{record.completion}\n\n" for record in records)}

    def begin(learner: Learner) -> None:
        """Bridges begin with what both models make of English."""
        bridges = [module for module in learner.model.modules() if isinstance(module, Bridge)]
        first = parts.train[:1000]
        english = contest.batches([_record(settings.name, replace(pair, source=pair.english)) for pair in first])
        foreign = contest.batches([_record(settings.name, pair) for pair in first])[::16]
        start.even_out(bridges, learner.prepare(foreign), foreign)
        start.stitch(bridges, learner.prepare(english), english)

    def random() -> Row:
        return contest.bridged("random augment", shuffled(augment, contest.work / "random"), pairs, begin=begin)

    return {
        "smollm2": lambda: contest.alone(anchor, shown),
        "gemma3": lambda: contest.alone(augment, shown),
        FINE_TUNED: contest.fine_tuned,
        "lora": lambda: contest.lora(contest.bridges(augment, pairs).num_weights),
        "random augment": random,
        "vanilla augment": lambda: contest.bridged("vanilla augment", anchor, settings.itself, begin=begin),
        "prompt only": lambda: contest.bridged("prompt only", augment, pairs, begin=begin, context="prompt"),
        "composition": lambda: contest.bridged("composition", augment, pairs, begin=begin),
    }
