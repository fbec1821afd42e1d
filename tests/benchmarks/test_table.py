import json
import re
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.table import Row, Table, command, rounded, said
from benchmarks.timing import Times

TIMES = Times(seconds={"a": (2.0, 4.0, 90.0), "b": (1.0, 4.0, 30.0)})


def test_a_row_is_the_median_of_the_rounds_and_keeps_the_least_and_the_greatest(tmp_path: Path) -> None:
    table = Table("some", "Some", Namespace(out=tmp_path))
    table.ratio("a / b", TIMES, "a", "b", 1.1)
    table.point("curve", new=16, ms=0.123456789)
    table.write()
    kept = json.loads((tmp_path / "some.json").read_text("utf-8"))
    (row,) = kept["rows"]
    assert (row["value"], row["least"], row["most"], row["rounds"], row["target"]) == (2, 1, 3, 3, 1.1)
    assert kept["series"] == {"curve": [{"new": 16, "ms": 0.12346}]}
    assert set(kept["versions"]) == {"python", "torch", "transformers", "orchestra"}


def test_nothing_that_is_kept_names_a_place_of_this_machine(tmp_path: Path) -> None:
    table = Table("some", "Some", Namespace(out=tmp_path))
    table.write()
    assert not re.search(r"/(home|root|tmp|work)\b", (tmp_path / "some.json").read_text("utf-8"))


def test_the_command_is_kept_without_the_folder_that_it_writes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/some/where/decode.py", "--peer", "--out", "/else/where", "--new", "64"])
    assert command() == "python -m benchmarks.decode --peer --new 64"


@pytest.mark.parametrize(("at_least", "value", "met"), [(False, 1.1, True), (False, 1.2, False), (True, 1.0, False)])
def test_a_target_is_met_from_its_own_side(at_least: bool, value: float, met: bool) -> None:
    assert Row(what="it", value=value, target=1.1, at_least=at_least).met is met
    assert Row(what="it", value=value, at_least=at_least).met is None


def test_numbers_are_short_and_whole_where_they_are_whole() -> None:
    assert [rounded(each) for each in (3.0, 0.123456, 1234567.0)] == [3, 0.12346, 1234567]
    assert said(1.0, "ratio") == "1.000"
    assert said(1234567, "bytes") == "1.2 MB"
    assert said(1234, "operators") == "1,234 operators"
    assert said(1.25, "ms") == "1.25 ms"
