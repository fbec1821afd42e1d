"""The table of stacks trained apart and joined, in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestra.intervals import gain
from orchestra.lab.measure import Score

_WAYS = ("as they are", "gates trained", "bridges trained")


def report(results: dict[str, Any]) -> str:
    """All tables."""
    return "\n".join(_lines(results)) + "\n"


_SETTING = (
    "Exact match in percent, {questions} fresh questions per task, greedy. The anchor is a small base, each augment "
    "its specialist of one task. Each stack was trained alone. What it was shown: *own*, {data:,} examples of its own "
    "task; *own and silence*, also as many questions of tasks that no specialist has, with what the base says to them "
    "by itself; *own and silence at the others*, likewise, but of all tasks other than its own."
)
_INTERVALS = (
    "The paper has no numbers for this: it leaves more than one augment as future work. 95% intervals: Wilson for a "
    "score, paired bootstrap over questions for a difference."
)
_LOSS = (
    "Mean over the joined skills of the difference to the composition with that skill's augment alone, in points. "
    "*elsewhere*: on {elsewhere}, which no specialist has, the difference to the anchor alone. Gates, or all bridges, "
    "learn from {mixed} examples of the joined skills in all, {steps}."
)


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    yield from ("# joined", "", _SETTING.format(**results), "", _INTERVALS)
    yield from ("", "## One augment at a time", "")
    yield from _alone(results)
    yield from ("", "## Joined", "")
    yield _LOSS.format(elsewhere=", ".join(results["elsewhere"]), mixed=results["mixed"], steps=results["steps"])
    yield ""
    yield from _joined(results)
    most = list(next(iter(results["joined"].values())))[-1]
    yield from ("", f"## Each skill, {most} joined", "")
    yield from _each(results, most)
    minutes = sum(results["cpu_seconds"].values()) / 60
    yield from ("", f"CPU minutes of training, one thread: {minutes:.0f}.", "", "Made by `orchestra reproduce joined`.")


def _alone(results: Mapping[str, Any]) -> Iterator[str]:
    skills, elsewhere = results["skills"], results["elsewhere"]
    yield from _head(["", *skills, "elsewhere"])
    other = [hit for task in elsewhere for hit in results["base"][task]]
    yield _row(["anchor alone", *(_cell(results["base"][task]) for task in skills), _cell(other)])
    yield _row(["specialist on its own task", *(_cell(results["specialists"][task]) for task in skills), ""])
    for lesson, found in results["alone"].items():
        other = [hit for task in skills for name in elsewhere for hit in found[task][name]]
        yield _row([f"composed, {lesson}", *(_cell(found[task][task]) for task in skills), _cell(other)])


def _joined(results: Mapping[str, Any]) -> Iterator[str]:
    yield from _head(["stacks learnt", "joined", *(f"{way}{what}" for way in _WAYS for what in ("", ", elsewhere"))])
    base = [hit for task in results["elsewhere"] for hit in results["base"][task]]
    for lesson, counts in results["joined"].items():
        for count, ways in counts.items():
            skills = results["skills"][: int(count)]
            before = [hit for task in skills for hit in results["alone"][lesson][task][task]]
            cells = []
            for way in _WAYS:
                cells.append(_lost(before, [hit for task in skills for hit in ways[way][task]]))
                cells.append(_lost(base, [hit for task in results["elsewhere"] for hit in ways[way][task]]))
            yield _row([lesson, count, *cells])


def _each(results: Mapping[str, Any], count: str) -> Iterator[str]:
    skills = results["skills"][: int(count)]
    yield from _head(["", *skills, "mean"])
    rows = {f"{lesson}, {way}": found[count][way] for lesson, found in results["joined"].items() for way in _WAYS}
    for name, found in {**rows, "stacks trained together, as many steps": results["together"]}.items():
        whole = [hit for task in skills for hit in found[task]]
        yield _row([name, *(_cell(found[task]) for task in skills), f"{100 * sum(whole) / len(whole):.1f}"])


def _cell(hits: Sequence[int]) -> str:
    return str(Score(right=sum(hits), asked=len(hits), guess=0.0))


def _lost(before: Sequence[int], after: Sequence[int]) -> str:
    lost = gain(after, before)
    return f"{100 * lost.value:+.1f} [{100 * lost.low:+.1f}, {100 * lost.high:+.1f}]"


def _head(columns: Sequence[str]) -> Iterator[str]:
    yield _row(columns)
    yield "|" + "---|" * len(columns)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
