import dataclasses
import json
import re
from pathlib import Path

import pytest

import orchestra
from orchestra.probing import ProbeSpec, probe
from orchestra.probing.sites import Pair
from tests.cli.conftest import Run


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Texts whose last word decides their completion."""
    path = tmp_path / "data.jsonl"
    lines = ({"prompt": f"w{20 + index} w{index % 3 + 3}", "completion": f"w{index % 3 + 43}"} for index in range(60))
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_what_layers_hold_is_a_table_and_bridges_to_paste(run: Run, loud_graph: Path, records: Path) -> None:
    done = run("probe", loud_graph, "--data", records, "--resamples", 100)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:2] == [
        "Fitted on 45 records, scored on 15 others; 95% intervals",
        "At the prompt's last token: 45 + 15 places",
    ]
    assert any("kv 0" in line and "1.00 [1.00, 1.00]" in line for line in lines)
    assert not any("tetum" in line for line in lines)  # it is off
    assert lines[-1] == '"kv": no layer explains what the anchor does not know; no bridges are proposed.'


def test_labels_that_all_begin_alike_are_said_to_explain_nothing(run: Run, loud_graph: Path, records: Path) -> None:
    said = "All labels begin with the same token of the anchor: R² and nearest say nothing"
    assert said not in run("probe", loud_graph, "--data", records, "--resamples", 100).out
    records.write_text(re.sub(r'"completion": "(w4\d)"', r'"label": "w3 \1"', records.read_text()))
    done = run("probe", loud_graph, "--data", records, "--resamples", 100)
    assert said in done.out.splitlines()
    assert any(
        "kv 0" in line and "1.00 [1.00, 1.00] │ - │" in re.sub(" +", " ", line) for line in done.out.splitlines()
    )


def test_bridges_are_printed_as_they_are_pasted(
    run: Run, loud_graph: Path, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = probe(loud_graph, ProbeSpec(data=records, resamples=100))
    pairs = {"kv": (Pair(augment_layer=1, anchor_layer="embedding"), Pair(augment_layer=0, anchor_layer=1))}
    monkeypatch.setattr("orchestra.cli.probe.probe_layers", lambda *_: dataclasses.replace(found, pairs=pairs))
    told = run("probe", loud_graph, "--data", records).out.splitlines()[-1]
    graph = json.loads(loud_graph.read_text())
    pasted = {"kv": {"model": str(loud_graph.parent / "kv"), **json.loads(told.replace('"kv" could have ', "{") + "}")}}
    graph |= {"anchor": {"model": str(loud_graph.parent / "anchor")}, "augments": pasted}
    sites = {(site.augment_layer, site.anchor_layer) for site in orchestra.load(graph).plan.graph.sites}
    assert sites == {(1, "embedding"), (0, 1)}


def test_what_layers_hold_as_json_is_what_the_function_returns(run: Run, loud_graph: Path, records: Path) -> None:
    arguments = ("--data", records, "--augment", "tetum", "--limit", 50, "--resamples", 100, "--seed", 1)
    found = json.loads(run("probe", loud_graph, *arguments, "--json").out)
    spec = ProbeSpec(data=records, augments=("tetum",), limit=50, resamples=100, seed=1)
    assert found == json.loads(json.dumps(probe(loud_graph, spec).as_json()))
    assert list(found["places"][0]["layers"]) == ["tetum", "anchor"]
