"""The merging experiment's tables in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestra.lab.results import cell


def report(results: dict[str, Any]) -> str:
    """All tables."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    yield "# merging"
    yield ""
    yield (
        f"Exact match in percent with 95% Wilson intervals, {results['questions']} fresh questions per task, greedy. "
        f"What is tuned is tuned on {results['tuning']} other questions per task."
    )
    yield from ("", "## Each model alone", "")
    yield from _alone(results["alone"])
    for count, found in results["methods"].items():
        yield from ("", f"## {count} specialists merged", "")
        yield from _methods(found, results["alone"])
    yield from ("", "## Breadcrumbs tuned on few, reused on many", "")
    yield from _breadcrumbs(results["breadcrumbs"])
    yield from ("", f"## Specialists of one task ({results['stock']['task']})", "")
    yield from _table(["", "exact match"], ([row, cell(record)] for row, record in results["stock"]["rows"].items()))
    yield from ("", "## Merged, averaged, composed", "")
    yield from _joined(results["joined"], results["data"])
    seconds = results["cpu_seconds"]
    times = ", ".join(f"{name} {spent / 60:.1f}" for name, spent in seconds.items())
    total = sum(seconds.values()) / 60
    yield from (
        "",
        f"CPU minutes of training, one thread: {times}; together {total:.0f}.",
        "",
        "Made by `orchestra reproduce merging`.",
    )


def _alone(alone: Mapping[str, Any]) -> Iterator[str]:
    tasks = list(alone["base"])
    rows = ([name, *(f"{scores[task]['percent']:.0f}" for task in tasks)] for name, scores in alone.items())
    return _table(["model", *tasks], rows)


def _methods(found: Mapping[str, Any], alone: Mapping[str, Any]) -> Iterator[str]:
    """A row per method, the best first; what lies above its specialist's interval is bold."""
    tasks = list(next(iter(found.values()))["scores"])
    own = {task: alone[task][task] for task in tasks}
    yield from _table(["method", "strength", "mean", *tasks, "above, below its specialist"], [])
    yield _row(["base", "", _mean(alone["base"], tasks), *(cell(alone["base"][task]) for task in tasks), ""])
    yield _row(["its specialist", "", _mean(own, tasks), *(cell(own[task]) for task in tasks), ""])
    for method, record in sorted(found.items(), key=lambda item: -item[1]["mean"]):
        scores = record["scores"]
        above = [task for task in tasks if scores[task]["interval"][0] > own[task]["interval"][1]]
        below = [task for task in tasks if scores[task]["interval"][1] < own[task]["interval"][0]]
        strength = "" if record["strength"] is None else str(record["strength"])
        cells = (f"**{cell(scores[task])}**" if task in above else cell(scores[task]) for task in tasks)
        yield _row([method, strength, f"{record['mean']:.1f}", *cells, f"{len(above)}, {len(below)}"])


def _breadcrumbs(found: Mapping[str, Any]) -> Iterator[str]:
    def row(name: str, record: Mapping[str, Any]) -> list[str]:
        settings = record["settings"]
        return [
            name,
            str(settings["density"]),
            str(settings["gamma"]),
            str(record["strength"]),
            f"{record['mean']:.1f}",
        ]

    return _table(["", "density", "gamma", "weight", "mean"], (row(name, record) for name, record in found.items()))


def _joined(found: Mapping[str, Any], data: int) -> Iterator[str]:
    own, rows = found["specialists"], found["rows"]
    tasks = list(own)
    yield f"Each way may learn from the same {data:,} examples per task; the merge was chosen by the first of them."
    yield ""
    yield from _table(["way", "mean", *tasks, "parameters", "of them trained bridges", "MFLOPs per token"], [])
    yield _row(["each specialist on its own task", _mean(own, tasks), *(cell(own[task]) for task in tasks), "", "", ""])
    for name, row in rows.items():
        yield _row(
            [
                name,
                f"{row['mean']:.1f}",
                *(cell(row["scores"][task]) for task in tasks),
                f"{row['parameters']:,}",
                f"{row['bridges']:,}",
                f"{row['flops'] / 1e6:.2f}",
            ]
        )


def _mean(scores: Mapping[str, Any], tasks: Sequence[str]) -> str:
    return f"{sum(scores[task]['percent'] for task in tasks) / len(tasks):.1f}"


def _table(columns: Sequence[str], rows: Any) -> Iterator[str]:
    yield _row(columns)
    yield "|" + "---|" * len(columns)
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
