"""The controls as JSON and as tables: what each row scores, by how much the composition leads it, what it forgot."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from orchestra.intervals import Interval, gain, mean
from orchestra.lab.controlled import Controlled

ANCHOR, ALONE, COMPOSED = "anchor", "augment alone", "composed"

_PAPER = (
    "| CALM, table 5 | composed | vanilla augment | random augment | prompt-only | LoRA |",
    "|---|---|---|---|---|---|",
    "| FLORES-200 into English, chrF | 60.5 | 59.2 | 58.8 | 59.3 | 59.2 |",
    "| GSM8K, low-resource languages | 21.4 | 19.0 | 17.8 | 19.1 | 20.9 |",
    "| HumanEval | 22.5 | 20.0 | 20.1 | 16.0 | 18.3 |",
    "| MBPP | 32.2 | 28.0 | 27.0 | 27.0 | 28.7 |",
)


def summary(experiment: Controlled, found: Mapping[str, Any]) -> dict[str, Any]:
    """The results of one experiment as JSON values, without those of single questions."""
    told = ("steps", "batch", "rate", "weight_decay", "warmup", "seed")
    return {
        "about": experiment.about,
        "vanilla_is": experiment.vanilla_is,
        "fit": {name: getattr(experiment.fit, name) for name in told},
        "tried_steps": experiment.trial_steps,
        "settings": dict(experiment.settings),
        "known": list(experiment.known),
        "units": {name: task.unit for name, task in {**experiment.tasks, **experiment.known}.items()},
        "rows": {name: _row(experiment, found, name) for name in found},
    }


def _row(experiment: Controlled, found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A row with its intervals, and its distance from the composition and, in what was known, from the anchor."""
    row = found[name]
    scores = {task: _rounded(mean(values)) for task, values in row["values"].items()}
    leads, forgot = {}, {}
    for task, values in row["values"].items():
        if task in experiment.known:
            before = found[ANCHOR]["values"][task]
            loss = experiment.known[task].unit == "nats"
            forgot[task] = _rounded(gain(values, before) if loss else gain(before, values))
        elif COMPOSED in found and name != COMPOSED:
            leads[task] = _rounded(gain(found[COMPOSED]["values"][task], values))
    return {**{key: value for key, value in row.items() if key != "values"}, "scores": scores, "leads": leads} | (
        {"forgot": forgot} if forgot and name != ANCHOR else {}
    )


def _rounded(found: Interval) -> dict[str, float]:
    return {key: round(value, 5) for key, value in asdict(found).items()}


def report(results: Mapping[str, Any]) -> str:
    """All experiments in Markdown."""
    lines = [
        "# Controls",
        "",
        "What a composition is worth beside simpler methods, as in CALM's table 5: every row that is trained learns "
        "from the same rows of data, in the same order, for the same number of steps. 95% intervals: Wilson's for "
        "shares, the bootstrap for all else, paired over the same questions for differences.",
    ]
    for name, one in results.items():
        lines += ["", f"## {name}", "", *_section(one)]
    lines += ["", "## The paper's", "", *_PAPER, "", "Made by `orchestra reproduce controls`."]
    return "\n".join(lines) + "\n"


def _section(one: Mapping[str, Any]) -> list[str]:
    rows, units = one["rows"], one["units"]
    known = one["known"]
    own = [task for task in units if task not in known]
    fit = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in one["fit"].items())
    asked = ", ".join(f"{key} {value}" for key, value in one["settings"].items())
    lines = [
        f"{one['about']} Bridges: {fit}. Vanilla augment: {one['vanilla_is']}. Asked: {asked}.",
        "",
        *_table(
            ["trained", *own], {name: [_trained(row), *_cells(row["scores"], own, units)] for name, row in rows.items()}
        ),
        "",
        "The composition leads by:",
        "",
        *_table(own, {name: _cells(row["leads"], own, units) for name, row in rows.items() if row["leads"]}),
    ]
    before = dict(zip(known, _cells(rows[ANCHOR]["scores"], known, units), strict=True))
    lost = {name: _cells(row["forgot"], known, units) for name, row in rows.items() if "forgot" in row}
    if lost:
        told = "; ".join(f"{task} {cell}" for task, cell in before.items())
        lines += ["", f"What each forgot of what the anchor could do ({told}): points lost, and loss gained.", ""]
        lines += _table(known, lost)
    return [*lines, "", *_rates(one)]


def _table(columns: list[str], rows: Mapping[str, list[str]]) -> list[str]:
    head = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    return head + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]


def _cells(found: Mapping[str, Any], tasks: list[str], units: Mapping[str, str]) -> list[str]:
    return [cell(found[task], units[task]) if task in found else "" for task in tasks]


def cell(found: Mapping[str, float], unit: str) -> str:
    """A number with its interval: percent with one digit, nats with three."""
    size, digits = (100, 1) if unit == "percent" else (1, 3)
    value, low, high = (f"{size * found[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _trained(row: Mapping[str, Any]) -> str:
    return f"{row['trained']:,}" if row["trained"] else "-"


def _rates(one: Mapping[str, Any]) -> list[str]:
    """Which rates were tried, and what everything took."""
    lines = [
        f"{name}: rate {row['rate']:g}, chosen by the loss on rows that nothing learns from, after "
        f"{one['tried_steps']} steps ({', '.join(f'{rate}: {loss:.3f}' for rate, loss in row['tried'].items())})."
        for name, row in one["rows"].items()
        if "tried" in row
    ]
    took = ", ".join(f"{name} {row['cpu_minutes']}" for name, row in one["rows"].items() if "cpu_minutes" in row)
    return [*lines, f"CPU minutes of training, one thread: {took}."] if took else lines
