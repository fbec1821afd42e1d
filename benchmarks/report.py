"""Makes benchmarks/report.md, its plots, and the tables that the documents quote, from the measurements that are kept.

python -m benchmarks.report
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.table import ROOT as ROOT
from benchmarks.table import Row, said

RESULTS = ROOT / "benchmarks/results/speed"
REPORT = ROOT / "benchmarks/report.md"
QUOTING = ("docs/performance.md", "README.md")
"""Documents with a block `<!-- speed -->`, which the table of targets is written into."""

ORDER = (
    "decode",
    "decode-real",
    "length",
    "reading",
    "reading-real",
    "off",
    "many",
    "train_step",
    "kept_taps",
    "kept_taps-real",
    "kept",
    "memory",
    "memory-real",
    "loading",
    "loading-real",
    "streamed",
)
PLOTS = {"length": "decode-length", "many": "augments", "memory": "memory"}
"""The plot that stands under a table."""
HEAD = """# Speed and memory, measured

Made by `python -m benchmarks.report` from the tables in [results/speed](results/speed), each of which is made by the
command that stands under its title; `make bench` runs those of the toy one after another, `make bench-real` those of
real models. [docs/performance.md](../docs/performance.md) says what the numbers mean.

Ratios are of CPU-seconds of one thread, taken in turns; a ratio is the median of as many rounds as are told, with the
least and the greatest beside it. What is counted is the same in every run.
"""

Content = Mapping[str, Any]


def tables(folder: Path = RESULTS) -> dict[str, Content]:
    """The measurements that are there, in the order of the report."""
    paths = {name: folder / f"{name}.json" for name in ORDER}
    return {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.is_file()}


def markdown(found: Mapping[str, Content]) -> str:
    """The report."""
    return "\n".join([HEAD, "## Targets\n", targets(found), *(section(found[name]) for name in found)])


def section(table: Content) -> str:
    """One table, with its command and its plot."""
    versions = ", ".join(f"{name} {version}" for name, version in table["versions"].items())
    lines = [f"## {table['title']}", "", f"`{table['command']}`", ""]
    lines += ["| | measured | least to greatest | rounds | target | met |", "|---|---|---|---|---|---|"]
    lines += [_line(row) for row in rows(table)]
    lines += ["", f"{versions}; {table['machine']}; {table['cpu_seconds'] / 60:.1f} CPU minutes.", ""]
    if plot := PLOTS.get(table["table"]):
        lines += [f"![{table['title']}](results/speed/{plot}.svg)", ""]
    return "\n".join(lines)


def targets(found: Mapping[str, Content]) -> str:
    """Every row of which something is asked."""
    lines = ["| | measured | target | met | made by |", "|---|---|---|---|---|"]
    for table in found.values():
        for row in rows(table):
            if row.met is not None:
                what, made = f"{table['title']}: {row.what}", f"`{table['command']}`"
                lines.append(f"| {' | '.join((what, _measured(row), _target(row), _met(row), made))} |")
    return "\n".join(lines) + "\n"


def rows(table: Content) -> Iterator[Row]:
    """The rows of a table."""
    return (Row(**row) for row in table["rows"])


def quoted(document: str, block: str) -> str:
    """A document with the table in its block, if it has one."""
    before, mark, rest = document.partition("<!-- speed -->\n")
    if not mark:
        return document
    _, end, after = rest.partition("<!-- /speed -->")
    return f"{before}{mark}{block}{end}{after}"


def _line(row: Row) -> str:
    spread = ""
    if row.least is not None and row.most is not None:
        spread = f"{said(row.least, row.unit)} to {said(row.most, row.unit)}"
    cells = (row.what, _measured(row), spread, str(row.rounds or ""), _target(row), _met(row))
    return f"| {' | '.join(cells)} |"


def _measured(row: Row) -> str:
    words = said(row.value, row.unit)
    return f"**{words}**" if row.met is False else words


def _target(row: Row) -> str:
    return "" if row.target is None else f"{'at least' if row.at_least else 'at most'} {row.target:g}"


def _met(row: Row) -> str:
    return {None: "", True: "yes", False: "**no**"}[row.met]


def main() -> None:
    """Write the report, the plots, and what the documents quote."""
    from benchmarks import plots  # matplotlib takes a second, and the report can be checked without it

    found = tables()
    REPORT.write_text(markdown(found), encoding="utf-8")
    for name in QUOTING:
        path = ROOT / name
        path.write_text(quoted(path.read_text("utf-8"), targets(found)), encoding="utf-8")
    for plot in plots.draw(found, RESULTS):
        print(plot.relative_to(ROOT))


if __name__ == "__main__":
    main()
