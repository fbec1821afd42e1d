"""The table of an evaluation: for a terminal, and in Markdown."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from rich.console import Group
from rich.table import Table
from rich.text import Text

from orchestra.eval.result import Evaluation, Score
from orchestra.intervals import Interval

_SCORE, _DIFFERENCE = "score [95%]", "minus the full's [95%]"
_ARROWS = {True: " \u2191", False: " \u2193", None: ""}
"""Which way is better, where the harness knows."""


def grid(found: Evaluation) -> Group:
    """For a terminal: a section per task and metric."""
    ablated = len(found.settings) > 1
    parts: list[Text | Table] = [Text(f"Scores{', and minus that of the full composition,' if ablated else ''} [95%]")]
    for title, rows in _sections(found):
        table = Table.grid(padding=(0, 2, 0, 0))
        for name, score, difference in rows:
            table.add_row(*map(Text, (f"  {name}", score, *([difference] if ablated else []))))
        parts += [Text(f"\n{title}", style="bold"), table]
    return Group(*parts)


def markdown(found: Evaluation) -> str:
    """The same, in Markdown."""
    head = ("task", "augments on", _SCORE, _DIFFERENCE)
    lines = [head, ("---",) * len(head)]
    lines += [
        (title if not number else "", *cells) for title, rows in _sections(found) for number, cells in enumerate(rows)
    ]
    wide = len(head) if len(found.settings) > 1 else len(head) - 1
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells[:wide])} |\n" for cells in lines)


def _sections(found: Evaluation) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Of each task and metric: what it is called, and of each set of augments its name, score and difference."""
    for (task, metric), section in groupby(found.scores, key=lambda one: (one.task, one.metric)):
        rows = list(section)
        write = _writer(rows)
        title = f"{task}: {metric}{_ARROWS[rows[0].higher_is_better]}, n = {rows[0].records:,}"
        yield title, [(one.setting, write(one.score, ""), write(one.difference, "+")) for one in rows]


def _writer(rows: Sequence[Score]) -> Callable[[Interval | None, str], str]:
    """Writes intervals: shares with three digits, larger numbers with one."""
    digits = 3 if all(abs(row.score.value) <= 1 for row in rows) else 1

    def write(number: Interval | None, sign: str) -> str:
        if number is None:
            return ""
        value, low, high = (f"{one:{sign}.{digits}f}" for one in (number.value, number.low, number.high))
        return f"{value} [{low}, {high}]"

    return write
