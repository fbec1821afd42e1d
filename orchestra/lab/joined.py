"""Stacks that were trained apart, joined: what each skill loses as more of them meet, and what gates win back.

Specialists of a small base, as in the merging experiment. Every stage is skipped when its result is there: models,
bundles and answers are kept as they come, in `runs/joined/`.
"""

import json
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from orchestra.api import load
from orchestra.io.checkpoint import write_atomically
from orchestra.lab import written
from orchestra.lab.asking import loaded
from orchestra.lab.batches import encode
from orchestra.lab.expressions import Example
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.gates import only_gates_learn
from orchestra.lab.joined_report import report
from orchestra.lab.joining import bundle, document, trained
from orchestra.lab.measure import answers, final, question_and_answer
from orchestra.lab.specialists import Sizes, Workshop, chosen, drawn
from orchestra.lab.strings import Task, mixed

Hits = list[int]
"""1 for each question that was answered right, in the order of the questions."""
LESSONS = ("own", "own and silence", "own and silence at the others")
"""What a stack is shown: its own task; also tasks that no specialist has; also those of the other specialists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Everything that decides what comes out.

    Attributes:
        skills: the tasks that have a specialist, in the order in which these join; `elsewhere`: those that have none.
        counts: how many are joined.
        data: examples of its own task that a stack learns from, and as many again in which it shall be silent.
        mixed: examples over all joined tasks that the gates are trained on.
    """

    sizes: Sizes = field(default_factory=Sizes)
    skills: tuple[str, ...] = ("rev", "shift", "neg", "drop", "up")
    elsewhere: tuple[str, ...] = ("turn", "sort", "step")
    counts: tuple[int, ...] = (1, 2, 3, 5)
    questions: int = 500
    data: int = 1000
    mixed: int = 300
    join: Fit = field(
        default_factory=lambda: Fit(steps=200, batch=64, rate=2e-3, muon=0.0, weight_decay=0.01, warmup=20)
    )
    gates: Fit = field(default_factory=lambda: Fit(steps=100, batch=100, rate=3e-3, muon=0.0, weight_decay=0.0))


LARGE = Experiment(
    sizes=Sizes(
        width=384,
        layers=8,
        inner=1152,
        base=Fit(steps=3000, batch=256, rate=1e-3, warmup=200),
        special=Fit(steps=600, batch=256, rate=3e-4, muon=0.0, weight_decay=0.01, warmup=50, seed=1),
    ),
    questions=2000,
    data=10_000,
    join=Fit(steps=800, batch=256, rate=2e-3, muon=0.0, weight_decay=0.01, warmup=50),
)


def reproduce(output: Path, experiment: Experiment | None = None, *, name: str = "joined") -> dict[str, Any]:
    """Train and measure everything.

    Args:
        output: where `benchmarks/results/` is written, and `runs/` for what resumes.
        name: what the results, and the folder below `runs/`, are called.

    Returns:
        The results, as written to `benchmarks/results/NAME.json`; right answers as lists of 0 and 1.
    """
    run = _Run(output / "runs" / name, experiment or Experiment())
    settings = run.settings
    results: dict[str, Any] = {
        "name": "joined",
        "questions": settings.questions,
        "data": settings.data,
        "mixed": settings.mixed,
        "steps": f"{settings.gates.steps} steps",
        "skills": settings.skills,
        "elsewhere": settings.elsewhere,
        "base": run.asked("base", lambda: loaded(run.shop.base()), run.every),
        "specialists": {task.name: run.specialist(task) for task in run.skills},
        "joined": {lesson: {str(count): run.joined(lesson, count) for count in settings.counts} for lesson in LESSONS},
        "alone": {lesson: {task.name: run.alone(lesson, task) for task in run.skills} for lesson in LESSONS},
        "together": run.together(),
    }
    results["cpu_seconds"] = run.shop.cpu_seconds()
    written.write(output, name, json.dumps(results), report(results))
    return results


class _Run:
    """Trains and asks, and keeps what came."""

    def __init__(self, folder: Path, settings: Experiment) -> None:
        self.settings, self.shop = settings, Workshop(folder, settings.sizes)
        self.skills, self.elsewhere = chosen(settings.skills), chosen(settings.elsewhere)
        self.every = (*self.skills, *self.elsewhere)
        self._path = folder / "answers.json"
        self._kept: dict[str, Any] = json.loads(self._path.read_text()) if self._path.is_file() else {}

    def specialist(self, task: Task) -> Hits:
        """A specialist on its own task."""
        folder = self.shop.specialist(task)
        return self.asked(task.name, lambda: loaded(folder), [task])[task.name]

    def alone(self, lesson: str, task: Task) -> dict[str, Hits]:
        """The composition with one specialist, on its own task and on those that nobody has."""
        return self.asked(f"{lesson}/{task.name} alone", lambda: self._graph(lesson, [task]), [task, *self.elsewhere])

    def joined(self, lesson: str, count: int) -> dict[str, dict[str, Hits]]:
        """The first specialists in one graph: as they are, after training the gates, and after training all bridges."""
        tasks, name = self.skills[:count], f"{lesson}/{count}"
        asked = [*tasks, *self.elsewhere]

        def taught(what: str, learning: Callable[[Any], AbstractContextManager[None]]) -> PreTrainedModel:
            model: Any = self._graph(lesson, tasks)
            with learning(model):
                return self._calibrated(model, f"{what}-{LESSONS.index(lesson)}-{count}", tasks)

        return {
            "as they are": self.asked(name, lambda: self._graph(lesson, tasks), asked),
            "gates trained": self.asked(f"{name}/gates", lambda: taught("gates", only_gates_learn), asked),
            "bridges trained": self.asked(f"{name}/bridges", lambda: taught("bridges", nullcontext), asked),
        }

    def together(self) -> dict[str, Hits]:
        """All specialists in one graph, whose stacks are trained together: as many steps as they have apart."""
        folders = {task.name: str(self.shop.specialist(task)) for task in self.skills}
        data = [example for task in self.skills for example in self._data(task)]
        longer = replace(self.settings.join, steps=self.settings.join.steps * len(self.skills))

        def make() -> PreTrainedModel:
            return trained(self.shop, "together", document(self.shop.base(), folders), data, longer)

        return self.asked("together", make, self.every)

    def asked(self, name: str, make: Callable[[], Any], tasks: Sequence[Task]) -> dict[str, Hits]:
        """The right answers of a model to each task's questions; it is made if it was not asked before."""
        made: list[Any] = []

        def ask(task: Task) -> Hits:
            made.extend([] if made else [make()])
            examples = drawn(task, self.settings.questions, seed="test")
            questions, whole = zip(*map(question_and_answer, examples), strict=True)
            longest = max(map(len, whole))
            given = answers(made[0], self.shop.words, questions, max_new_tokens=longest + 2)
            return [int(final(found) == final(right)) for found, right in zip(given, whole, strict=True)]

        return {task.name: self._once(f"{name}/{task.name}", partial(ask, task)) for task in tasks}

    def _graph(self, lesson: str, tasks: Sequence[Task]) -> PreTrainedModel:
        folders = {task.name: str(self.shop.specialist(task)) for task in tasks}
        return load(document(self.shop.base(), folders, {task.name: self._stack(lesson, task) for task in tasks}))

    def _stack(self, lesson: str, task: Task) -> str:
        """The bundle of one specialist, trained with no other in sight."""
        data = self._data(task)
        if lesson != LESSONS[0]:
            others = [other for other in self.every if other is not task] if lesson == LESSONS[2] else self.elsewhere
            data = [*data, *self._silence(f"{task.name}/{lesson}", others)]
        folder = self.shop.specialist(task)
        named = f"{task.name}-{LESSONS.index(lesson)}"
        return bundle(self.shop, task.name, folder, data, self.settings.join, named=named)

    def _data(self, task: Task) -> list[Example]:
        return drawn(task, self.settings.data, seed="data")

    def _silence(self, seed: str, tasks: Sequence[Task]) -> list[Example]:
        """Questions of other tasks with what the base says by itself."""
        rng = random.Random(f"silence/{seed}")
        asked = [question_and_answer(mixed(rng, tasks))[0] for _ in range(self.settings.data)]

        def say() -> list[str]:
            return answers(loaded(self.shop.base()), self.shop.words, asked)

        said = self._once(f"silence/{seed}", say)
        return [((question, False), (answer, True)) for question, answer in zip(asked, said, strict=True)]

    def _calibrated(self, model: Any, name: str, tasks: Sequence[Task]) -> PreTrainedModel:
        """The model after training on a few examples of all joined tasks, of those that the stacks learnt from."""
        share = self.settings.mixed // len(tasks)
        few = [example for task in tasks for example in self._data(task)[:share]]
        with self.shop.timed(name):
            fit(
                model,
                lambda rng, _: rng.choice(few),
                partial(encode, self.shop.words),
                self.settings.gates,
                checkpoint=self.shop.folder / f"{name}.pt",
                title=name,
            )
        found: PreTrainedModel = model
        return found

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._kept:
            self._kept[name] = make()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(self._kept))
        return self._kept[name]
