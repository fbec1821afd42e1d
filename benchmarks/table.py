"""A table of measurements: printed row by row, and kept as JSON with what it was made by."""

import json
import os
import platform
import re
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers

import orchestra
from benchmarks.timing import Times

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement.

    Attributes:
        value: the median of the rounds, or what was counted.
        least: of the rounds; None where there are none.
        target: what it should be; None where nothing is asked.
        at_least: whether more is better.
    """

    what: str
    value: float
    unit: str = "ratio"
    least: float | None = None
    most: float | None = None
    target: float | None = None
    at_least: bool = False
    rounds: int | None = None

    @property
    def met(self) -> bool | None:
        """Whether it is what it should be; None where nothing is asked."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def __str__(self) -> str:
        words = f"{self.what:72}{said(self.value, self.unit):>16}"
        if self.least is not None and self.most is not None:
            words += f"  ({said(self.least, self.unit)} to {said(self.most, self.unit)})"
        if self.target is not None:
            words += f"  {'at least' if self.at_least else 'at most'} {self.target:g}{'' if self.met else '  NOT MET'}"
        return words


class Table:
    """Rows, and the points of a plot.

    Args:
        name: of the file.
        told: the arguments of the command.
    """

    def __init__(self, name: str, title: str, told: Namespace) -> None:
        self.name = name
        self._folder: Path = told.out
        self._started = time.process_time()
        self._content: dict[str, Any] = {"table": name, "title": title, "command": command(), **made_by()}
        self._rows: list[Row] = []
        self._series: dict[str, list[dict[str, float]]] = {}
        print(f"{title}\n{self._content['versions']}, {self._content['machine']}", flush=True)

    def add(self, row: Row) -> None:
        """Take a row, and print it."""
        self._rows.append(row)
        print(row, flush=True)

    def ratio(
        self, what: str, times: Times, way: str, over: str, target: float | None = None, *, at_least: bool = False
    ) -> None:
        """Take what one way costs over another."""
        self.rounds(what, times.ratios(way, over), target=target, at_least=at_least)

    def rounds(
        self,
        what: str,
        values: Sequence[float],
        unit: str = "ratio",
        target: float | None = None,
        *,
        at_least: bool = False,
    ) -> None:
        """Take what each round gave."""
        self.add(
            Row(
                what=what,
                value=rounded(median(values)),
                unit=unit,
                least=rounded(min(values)),
                most=rounded(max(values)),
                target=target,
                at_least=at_least,
                rounds=len(values),
            )
        )

    def count(self, what: str, value: float, unit: str, target: float | None = None, *, at_least: bool = False) -> None:
        """Take what was counted: the same in every round."""
        self.add(Row(what=what, value=rounded(value), unit=unit, target=target, at_least=at_least))

    def point(self, series: str, **values: float) -> None:
        """Take one point of a plot."""
        point = {name: rounded(value) for name, value in values.items()}
        self._series.setdefault(series, []).append(point)
        print("   ", series, ", ".join(f"{name} {value:g}" for name, value in point.items()), flush=True)

    def write(self) -> None:
        """Keep it."""
        content = {
            **self._content,
            "cpu_seconds": round(time.process_time() - self._started),
            "rows": [asdict(row) for row in self._rows],
            "series": self._series,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self.name}.json"
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def rounded(value: float) -> float:
    """Five digits, and whole numbers whole."""
    return int(value) if value == int(value) else float(f"{value:.5g}")


def said(value: float, unit: str) -> str:
    """A number with its unit, as people write it."""
    if unit == "ratio":
        return f"{value:.3f}"
    if unit == "bytes" and abs(value) >= 1e5:
        return f"{value / 1e6:,.1f} MB"
    return f"{value:,g} {unit}" if value != int(value) else f"{int(value):,} {unit}"


def command() -> str:
    """How this was called, without the place that it writes to."""
    words = sys.argv[1:]
    if "--out" in words:
        at = words.index("--out")
        words = words[:at] + words[at + 2 :]
    return " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *words])


def made_by() -> dict[str, Any]:
    """What ran, and on what kind of machine; no name and no path of it."""
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "orchestra": f"{orchestra.__version__} ({commit()})",
        },
        "machine": f"{processor()}, {os.cpu_count()} CPUs, one thread",
    }


def commit() -> str:
    """The last commit that changed the package, and whether it was changed since."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words, "--", "orchestra"], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("log", "-1", "--format=%h") + (" and changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "no commit"


def processor() -> str:
    """The kind of processor."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return f"{found[1].strip()} ({platform.machine()})" if found else platform.machine()
