"""evaluate(): from a composed model and the names of tasks to one table. The whole evaluation on one page."""

import json
from collections.abc import Callable
from importlib.util import find_spec

from orchestra.errors import EvalError
from orchestra.eval import executor, table
from orchestra.eval.result import Evaluation
from orchestra.eval.settings import settings
from orchestra.eval.spec import EvalSpec
from orchestra.io.checkpoint import write_atomically
from orchestra.runtime.model import ComposedModel

NEEDED = ("accelerate", "lm_eval", "sacrebleu")


def evaluate(model: ComposedModel, spec: EvalSpec, tell: Callable[[str], None] = lambda _: None) -> Evaluation:
    """Ask a composition every record of every task, once for each set of augments; models are loaded once.

    Args:
        tell: is told what goes on.

    Raises:
        EvalError: the extra `eval` is not installed, a task or a setting is not as it should be, or nothing can be
            written where `output` says; all that before a record is asked.
        DataError: a record of a file is malformed.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise EvalError(f"evaluation needs {' and '.join(missing)}: pip install 'orchestra-lm[eval]'.")
    from orchestra.eval import harness, scores

    rows = settings(model, spec.ablate)
    asked, loaded = harness.language_model(model, spec), harness.load_tasks(spec)
    if harness.runs_programs(loaded):
        for risk in executor.check():
            tell(f"warning: {risk}")
    if spec.output is not None:
        try:
            for row in rows:
                (spec.output / _folder(row.name)).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvalError(f"--output {spec.output}: {error.filename}: {error.strerror}.") from error
        machine = harness.environment(asked)
    results = []
    for number, row in enumerate(rows, start=1):
        tell(f"{number} of {len(rows)}: {row.name}")
        with model.only(*row.on):
            results.append(harness.ask(asked, loaded, spec))
        if spec.output is not None:
            harness.save(results[-1] | machine, spec.output, _folder(row.name), asked, spec)
    tell("intervals")
    found = Evaluation(
        settings=tuple(rows),
        scores=tuple(scores.scores(rows, results, loaded, times=spec.bootstrap, seed=spec.seed)),
    )
    if spec.output is not None:
        write_atomically(spec.output / "table.md", table.markdown(found))
        write_atomically(spec.output / "table.json", json.dumps(found.record(), indent=2) + "\n")
    return found


def _folder(name: str) -> str:
    """Of the files of a row; names of augments may have a `-`, so they stand apart by something else."""
    return name.replace(", ", "+").replace(" + ", "+").replace(" ", "-")
