from pathlib import Path
from typing import Any

import pytest

from benchmarks import plots, report

FOUND = report.tables()


def table(name: str, **series: Any) -> dict[str, Any]:
    row = {"what": "it", "value": 1.2, "unit": "ratio", "least": 1.1, "most": 1.3, "target": 1.15, "rounds": 7}
    words = {"title": name.title(), "command": f"python -m benchmarks.{name}", "machine": "some", "cpu_seconds": 90}
    return {"table": name, **words, "versions": {"torch": "2"}, "rows": [{**row, "at_least": False}], "series": series}


def test_the_report_is_made_of_the_tables_that_are_kept() -> None:
    assert report.REPORT.read_text("utf-8") == report.markdown(FOUND)


@pytest.mark.parametrize("name", report.QUOTING)
def test_documents_quote_the_targets_as_they_are(name: str) -> None:
    document = (report.ROOT / name).read_text("utf-8")
    assert document == report.quoted(document, report.targets(FOUND))


@pytest.mark.parametrize("plot", [name for name, (_, needed, _) in plots.DRAWN.items() if needed[0] in FOUND])
def test_plots_show_the_tables_that_are_kept(plot: str) -> None:
    assert plots.digest(plot, FOUND) in (report.RESULTS / f"{plot}.svg").read_text("utf-8")


def test_every_kept_table_is_in_the_report() -> None:
    assert {path.stem for path in report.RESULTS.glob("*.json")} == set(FOUND)


def test_what_falls_short_is_told_and_has_its_command() -> None:
    found = {"off": table("off")}
    line = "| Off: it | **1.200** | at most 1.15 | **no** | `python -m benchmarks.off` |"
    assert line in report.targets(found).splitlines()
    assert "| it | **1.200** | 1.100 to 1.300 | 7 | at most 1.15 | **no** |" in report.markdown(found).splitlines()


def test_a_document_without_a_block_stays_as_it_is() -> None:
    assert report.quoted("a\n", "table\n") == "a\n"
    assert report.quoted("a\n<!-- speed -->\nold\n<!-- /speed -->\nb", "new\n") == (
        "a\n<!-- speed -->\nnew\n<!-- /speed -->\nb"
    )


def test_a_plot_names_the_digest_of_what_it_shows_and_is_the_same_every_time(tmp_path: Path) -> None:
    points = [{"new": new, "composed_ms": 10 + new / 64, "parts_ms": 8.0} for new in (16, 64, 256)]
    found = {"length": table("length", length=points)}
    (path,) = plots.draw(found, tmp_path)
    first = path.read_text("utf-8")
    assert plots.digest("decode-length", found) in first
    plots.draw(found, tmp_path)
    assert path.read_text("utf-8") == first
    points[0]["parts_ms"] = 9.0
    assert plots.digest("decode-length", found) not in first
