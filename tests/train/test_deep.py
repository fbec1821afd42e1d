"""Training in a deeper graph: a stack learns through the augment that it feeds."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import orchestra
from orchestra.errors import ComposeError, TrainError
from orchestra.io.bundle import read_config
from orchestra.train import TrainSpec, train
from orchestra.train.prepare import prepare
from tests.tiny import loud, watching

PAIRS = [{"augment_layer": 1, "anchor_layer": 0}]


def chain(graph: Path, **fields: Any) -> dict[str, Any]:
    """tetum -> kv -> anchor; `fields` are further fields of kv."""
    document: dict[str, Any] = json.loads(graph.read_text())
    for model in (document["anchor"], *document["augments"].values()):
        model["model"] = str(graph.parent / model["model"])
    kv, tetum = (document["augments"][name] for name in ("kv", "tetum"))
    document["augments"] = {
        "kv": {**kv, "bridges": {"pairs": PAIRS}, **fields},
        "tetum": {"model": tetum["model"], "into": ["kv"], "bridges": {"pairs": PAIRS}},
    }
    return document


@pytest.fixture
def spec(pairs: Path, tmp_path: Path) -> TrainSpec:
    return TrainSpec(
        data=pairs, output=tmp_path / "out", augments=("tetum",), steps=3, batch_size=5, learning_rate=1e-2
    )


def test_whom_a_trained_stack_feeds_is_on_and_stays_as_it_is(graph: Path, spec: TrainSpec) -> None:
    model = loud(orchestra.load(chain(graph)))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    result = train(model, spec)
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert moved
    assert all(name.startswith("stacks.augment_tetum>kv.") for name in moved)
    assert {name: folder.name for name, folder in result.bundles.items()} == {"tetum>kv": "tetum"}
    assert model.active == ("kv", "tetum")


def test_a_bundle_that_needs_a_trained_stack_as_it_was_is_written_anew(
    graph: Path, spec: TrainSpec, tmp_path: Path
) -> None:
    loud(orchestra.load(chain(graph))).save_bridges(tmp_path / "before")
    document = chain(graph, bridges=str(tmp_path / "before/kv"))
    document["augments"]["tetum"]["bridges"] = str(tmp_path / "before/tetum")
    result = train(document, spec)
    assert set(result.bundles) == {"tetum>kv", "kv"}
    new, old = (read_config(folder) for folder in (result.bundles["kv"], tmp_path / "before/kv"))
    assert new.weights_sha256 == old.weights_sha256
    assert new.augment.fed == (read_config(result.bundles["tetum>kv"]).weights_sha256,) != old.augment.fed
    for name, bundle in (("kv", "kv"), ("tetum", "tetum>kv")):
        document["augments"][name]["bridges"] = str(result.bundles[bundle])
    assert orchestra.load(document).active == ("kv", "tetum")


def test_who_is_off_in_the_graph_does_not_feed_what_is_trained(graph: Path, spec: TrainSpec, tmp_path: Path) -> None:
    loud(orchestra.load(chain(graph))).save_stack("tetum", tmp_path / "tetum")
    document = chain(graph)
    document["augments"]["tetum"] |= {"bridges": str(tmp_path / "tetum"), "enabled": False}
    needs = []
    for on in (False, True):
        document["augments"]["tetum"]["enabled"] = on
        bundle = train(document, replace(spec, augments=("kv",), steps=1, resume=False)).bundles["kv"]
        needs.append(read_config(bundle).augment.fed)
    assert needs == [None, (read_config(tmp_path / "tetum").weights_sha256,)]


def test_taps_are_kept_of_what_others_feed_while_only_the_anchor_s_bridges_learn(
    graph: Path, spec: TrainSpec, tmp_path: Path
) -> None:
    loud(orchestra.load(chain(graph))).save_stack("tetum", tmp_path / "tetum")
    document = chain(graph)
    document["augments"]["tetum"]["bridges"] = str(tmp_path / "tetum")
    above = replace(spec, augments=("kv",), log_every=1)
    whole = train(document, above)
    on_taps = replace(above, output=tmp_path / "on-taps", keep_taps=tmp_path / "taps")
    model = orchestra.load(document)
    with watching() as runs:
        result = train(model, on_taps)
    assert (
        runs(model.augment("tetum")) == runs(model.augment("kv")) == 6
    )  # 18 records in fives, one to tell, one to check
    assert list(result.losses.values()) == pytest.approx(list(whole.losses.values()), abs=1e-5)
    assert read_config(result.bundles["kv"]).augment.fed == read_config(whole.bundles["kv"]).augment.fed
    with torch.no_grad():
        model.stack("tetum").bridges()[0].gate.add_(1)
    train(model, replace(on_taps, resume=False))
    assert len([*(tmp_path / "taps").iterdir()]) == 2  # it makes of the records something else now
    with pytest.raises(ComposeError, match=r"^'tetum' feeds 'kv' by bridges that learn: "):
        train(document, replace(on_taps, augments=("tetum",), output=tmp_path / "below"))


def test_a_stack_that_leads_nowhere_is_not_trained(graph: Path, spec: TrainSpec) -> None:
    message = (
        "augment 'tetum' feeds kv, and nothing that is on leads from there to the anchor: enable what does, or train "
        "it as well."
    )
    with pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
        prepare(chain(graph, enabled=False), spec)
    both = TrainSpec(data=spec.data, output=spec.output, augments=("kv", "tetum"), steps=1)
    assert prepare(chain(graph, enabled=False), both).on == ("kv", "tetum")
