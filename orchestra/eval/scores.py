"""From what the harness keeps of each record to scores, with intervals of each and of its difference to the full."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from lm_eval.api.metrics import mean

from orchestra.eval.bootstrap import Aggregate, Draws, draws, interval
from orchestra.eval.harness import Loaded, Results
from orchestra.eval.result import Score
from orchestra.eval.settings import Setting
from orchestra.intervals import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """A score, what it is in every draw, and the records that it is of."""

    value: float
    drawn: Draws
    records: tuple[Any, ...]


def scores(
    settings: Sequence[Setting], results: Sequence[Results], loaded: Loaded, *, times: int, seed: int
) -> list[Score]:
    """Scores by task and metric, and in these by setting; the first setting is what all others are held against."""
    tables = [_cells(found, loaded, times=times, seed=seed) for found in results]
    rows = []
    for (task, key), full in tables[0].items():
        metric, _, filtered = key.partition(",")
        better = results[0]["higher_is_better"].get(task, {}).get(metric)
        for setting, table in zip(settings, tables, strict=True):
            cell = table.get((task, key))
            if cell is not None:
                rows.append(
                    Score(
                        task=task,
                        metric=metric if filtered == "none" else key,
                        setting=setting.name,
                        on=setting.on,
                        records=len(cell.records),
                        higher_is_better=better,
                        score=_interval(cell.value, cell.drawn),
                        difference=None if cell is full else _difference(cell, full),
                    )
                )
    return rows


def _interval(value: float, drawn: Draws) -> Interval:
    low, high = interval(drawn)
    return Interval(value=value, low=low, high=high)


def _difference(cell: _Cell, full: _Cell) -> Interval | None:
    if cell.records != full.records:
        return None
    return _interval(cell.value - full.value, cell.drawn - full.drawn)


def _cells(results: Results, loaded: Loaded, *, times: int, seed: int) -> dict[tuple[str, str], _Cell]:
    """Of every task, and of the groups that have a score of their own."""
    cells = {
        (task, key): _Cell(
            value=float(results["results"][task][key]),
            drawn=draws(items, aggregate, times=times, seed=crc32(f"{seed}/{task}".encode())),
            records=tuple(records),
        )
        for task in results["samples"]
        for key, records, items, aggregate in _items(results, loaded["tasks"][task], task)
    }
    for name, group in loaded.get("groups", {}).items():
        cells.update(list(_group_cells(name, group, results, cells)))
    return cells


def _items(results: Results, task: Any, name: str) -> Iterator[tuple[str, list[int], list[Any], Aggregate]]:
    """Of each metric that is a number: its name and filter, the records that it is of, and what is kept of them."""
    samples, aggregation = results["samples"][name], task.aggregation()
    for key, value in results["results"][name].items():
        metric, comma, filtered = key.partition(",")
        if comma and not metric.endswith("_stderr") and isinstance(value, int | float | np.number):
            kept = [one for one in samples if one["filter"] == filtered and metric in one["metrics"]]
            yield key, [one["doc_id"] for one in kept], [one[metric] for one in kept], aggregation.get(metric, mean)


def _group_cells(
    name: str, group: Any, results: Results, cells: dict[tuple[str, str], _Cell]
) -> Iterator[tuple[tuple[str, str], _Cell]]:
    """The harness weighs the draws of a group's tasks as it weighs their scores."""
    drawn: dict[str, dict[str, Any]] = {}
    for (task, key), cell in cells.items():
        sizes = {"sample_len": results["results"][task].get("sample_len", 0)}
        drawn.setdefault(task, sizes)[key] = cell.drawn
    of = {task.task_name for task in group.get_all_tasks()}
    for key, value in group.aggregate(drawn).items():
        if "," in key and isinstance(value, np.ndarray):
            records = tuple(
                (task, one)
                for (task, other), cell in cells.items()
                if task in of and other == key
                for one in cell.records
            )
            yield (name, key), _Cell(value=float(results["results"][name][key]), drawn=value, records=records)
