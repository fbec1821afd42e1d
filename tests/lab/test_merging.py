import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestra.errors import MergeError
from orchestra.io.merge_facts import merge_facts
from orchestra.io.places import Places
from orchestra.lab import joining, specialists
from orchestra.lab.asking import loaded
from orchestra.lab.fitting import Fit
from orchestra.lab.joining import Averaged
from orchestra.lab.merging import Experiment, reproduce
from orchestra.lab.merging_report import report
from orchestra.lab.merging_ways import CRUMBS, WAYS, Way
from orchestra.lab.specialists import Sizes, Workshop
from orchestra.lab.strings import TASKS
from orchestra.merging.methods import METHODS

TINY = Fit(steps=2, batch=4, rate=1e-3, muon=0.0, warmup=1, save_every=1)
SIZES = Sizes(width=32, layers=4, inner=32, base=TINY, special=replace(TINY, seed=1))
SMALL = Experiment(
    sizes=SIZES,
    questions=2,
    tuning=1,
    data=3,
    crews=(2, 3),
    joined=2,
    stocked=("rev", (1, 2)),
    ways=tuple(way for way in WAYS if way.method in ("linear", "ties", "passthrough")),
    crumbs=CRUMBS[:2],
    join=TINY,
    tune=TINY,
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("reproduced")
    reproduce(folder, SMALL)
    return folder


def test_every_method_of_mergekit_is_asked() -> None:
    assert {way.method for way in WAYS} == set(METHODS)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.method)
def test_every_way_is_a_recipe_that_can_be_carried_out(output: Path, way: Way) -> None:
    folder = output / "runs" / "merging"
    shop = Workshop(folder, SIZES)
    for count in (2,) if way.most else (2, 3):
        chosen = [shop.specialist(task) for task in TASKS[:count]]
        assert merge_facts(way.recipe(shop.base(), chosen, way.strengths()[0]), Places(folder=folder)).problems == []


def test_the_results_are_written_and_hold_every_part(output: Path) -> None:
    results = json.loads((output / "benchmarks/results/merging.json").read_text())
    assert set(results["alone"]) == {"base", *(task.name for task in TASKS)}
    assert {count: set(found) for count, found in results["methods"].items()} == {
        "2": {"linear", "ties", "passthrough"},
        "3": {"linear", "ties"},
    }
    assert list(results["breadcrumbs"])[2] == "reused on many, the weight shared out"
    assert list(results["stock"]["rows"]) == ["seed 1", "seed 2", "linear of 2", "model_stock of 2"]
    assert len(results["joined"]["rows"]) == 8
    assert (output / "benchmarks/results/merging.md").read_text() == report(results)


def test_composing_costs_all_models_and_a_merge_costs_one(output: Path) -> None:
    rows = json.loads((output / "benchmarks/results/merging.json").read_text())["joined"]["rows"]
    one = rows["base"]
    assert rows["base, fine-tuned"]["flops"] == one["flops"]
    assert rows["logits averaged"]["flops"] == 2 * one["flops"]
    together, merged = rows["composed, stacks trained together"], rows["composed with the merge"]
    assert together["parameters"] == 3 * one["parameters"] + together["bridges"]
    assert merged["parameters"] == 2 * one["parameters"] + merged["bridges"]
    assert together["bridges"] == 2 * merged["bridges"]
    itself = rows["composed with the base itself, as often"]
    assert itself == {**itself, "parameters": one["parameters"] + itself["bridges"], "flops": together["flops"]}
    assert one["flops"] < merged["flops"] < together["flops"]


def test_what_is_there_is_not_made_again(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MergeError("made again")

    for module in (specialists, joining):
        monkeypatch.setattr(module, "fit", fail)
    before = (output / "benchmarks/results/merging.json").read_bytes()
    reproduce(output, SMALL)
    assert (output / "benchmarks/results/merging.json").read_bytes() == before


@torch.no_grad()
def test_the_average_of_one_model_says_what_the_model_says(output: Path) -> None:
    shop = Workshop(output / "runs" / "merging", SIZES)
    model: Any = loaded(shop.specialist(TASKS[0]))
    inputs = shop.words(["rev abcdefg=", "up ab="], return_tensors="pt", padding=True, padding_side="left")
    theirs = model.generate(**inputs, max_new_tokens=5, do_sample=False, pad_token_id=0, eos_token_id=2)
    assert torch.equal(Averaged([model, model]).generate(**inputs, max_new_tokens=5), theirs)
