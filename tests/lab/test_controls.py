import json
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from orchestra.errors import TrainError
from orchestra.lab import control_rows, controls
from orchestra.lab.batches import encode
from orchestra.lab.control_rows import ROWS, Place, lora, num_learning
from orchestra.lab.controlled import Controlled, exact, losses, nats
from orchestra.lab.controls_report import report, summary
from orchestra.lab.exercises import encode_with_twins, example, exercise
from orchestra.lab.fitting import Fit, prompts
from orchestra.lab.keys import domain
from orchestra.lab.models import small_llama
from orchestra.lab.table import Table
from orchestra.runtime.model import ComposedModel

KEYS = domain(Table(size=100))
FIT = Fit(steps=3, batch=5, rate=1e-3, muon=0.0, warmup=1, save_every=2)
WORDS = 32


def rows(count: int, seed: int = 0) -> list[Any]:
    rng = random.Random(seed)
    return [example(exercise(rng, KEYS)) for _ in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, words: PreTrainedTokenizerFast) -> Path:
    base: Path = tmp_path_factory.mktemp("models")
    for name, layers, seed in (("anchor", 3, 0), ("kv", 2, 1)):
        small_llama(words, width=WORDS, layers=layers, inner=WORDS, seed=seed).save_pretrained(base / name)
        words.save_pretrained(base / name)
    return base


@pytest.fixture(scope="module")
def experiment(folder: Path, words: PreTrainedTokenizerFast) -> Controlled:
    last = {"augment_layer": 1, "anchor_layer": "embedding"}
    return Controlled(
        name="tiny",
        about="Keys.",
        anchor=folder / "anchor",
        augment=folder / "kv",
        bridges={"gate": "token", "pairs": [last]},
        vanilla=folder / "anchor",
        vanilla_is="the anchor itself",
        vanilla_bridges={"gate": "token", "pairs": [{**last, "augment_layer": 2}]},
        lesson=lambda rng, _: exercise(rng, KEYS),
        encode=partial(encode_with_twins, words),
        fit=FIT,
        tune=(encode(words, rows(3)),),
        lora_rates=(1e-3, 3e-3),
        tuned_rates=(1e-3,),
        tasks={"keys": exact(words, rows(4, seed=1), max_new_tokens=2)},
        known={"digits": exact(words, rows(3, seed=2), max_new_tokens=2), "texts": nats(words, rows(7, seed=3))},
    )


Record = dict[str, Any]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, experiment: Controlled) -> tuple[Path, Record]:
    output: Path = tmp_path_factory.mktemp("output")
    return output, controls.reproduce(output, {"tiny": lambda *_: experiment})["tiny"]


def test_every_row_is_made_but_for_an_augment_that_cannot_be_asked(results: tuple[Path, Record]) -> None:
    rows = results[1]["rows"]
    assert list(rows) == [name for name in ROWS if name != "augment alone"]
    assert all(set(row["scores"]) == {"keys", "digits", "texts"} for row in rows.values())
    assert {name for name, row in rows.items() if row["leads"]} == {*rows} - {"composed"}
    assert "forgot" not in rows["anchor"]
    assert set(rows["LoRA"]["forgot"]) == {"digits", "texts"}


def test_bridges_are_as_many_in_every_swap_and_lora_has_at_least_as_many(results: tuple[Path, Record]) -> None:
    rows = results[1]["rows"]
    swaps = {rows[name]["trained"] for name in ("composed", "vanilla augment", "random augment", "prompt-only")}
    assert len(swaps) == 1
    assert 0 < min(swaps) <= rows["LoRA"]["trained"] < 2 * min(swaps) < rows["anchor fine-tuned"]["trained"]


def test_of_the_rates_that_with_the_lowest_loss_is_taken(results: tuple[Path, Record]) -> None:
    for name, number in (("LoRA", 2), ("anchor fine-tuned", 1)):
        row = results[1]["rows"][name]
        assert len(row["tried"]) == number
        assert row["tried"][f"{row['rate']:g}"] == min(row["tried"].values())


def test_a_second_run_makes_nothing_again(
    results: tuple[Path, Record], experiment: Controlled, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, found = results
    kept = output / "benchmarks/results/controls.json"
    before = kept.read_bytes()
    monkeypatch.setattr(control_rows, "fit", None)
    monkeypatch.setattr(control_rows, "load", None)
    assert controls.reproduce(output, {"tiny": lambda *_: experiment})["tiny"] == found
    assert kept.read_bytes() == before
    assert (output / "benchmarks/results/controls.md").read_text() == report(json.loads(before))


def test_what_others_write_meanwhile_stays(
    results: tuple[Path, Record], experiment: Controlled, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, found = results
    place = output / "benchmarks/results/controls.json"

    def make(*_: Any) -> Controlled:
        return experiment

    def run(*_: Any) -> Iterator[controls.Results]:
        place.write_text(json.dumps({"tiny": found, "theirs": found}))
        yield from before(*_)

    before = controls.run
    monkeypatch.setattr(controls, "run", run)
    assert set(controls.reproduce(output, {"tiny": make})) == {"tiny", "theirs"}
    assert set(controls.reproduce(output, {"tiny": make}, scale="large")) == {"tiny"}
    assert set(json.loads(place.read_text())) == {"tiny", "theirs"}
    assert (output / "benchmarks/results/controls-large.md").is_file()


def test_another_budget_starts_anew(results: tuple[Path, Record], experiment: Controlled) -> None:
    other = replace(experiment, fit=replace(FIT, steps=2))
    assert other.digest != experiment.digest
    found = next(controls.run(other, results[0] / "runs/controls"))
    assert list(found) == ["anchor"]


@pytest.fixture
def place(experiment: Controlled, tmp_path: Path) -> Place:
    return Place(experiment, tmp_path)


def parts(model: PreTrainedModel) -> tuple[Any, ...]:
    assert isinstance(model, ComposedModel)
    (node,) = model.plan.graph.augments
    return Path(node.facts.source).name, node.context, [site.augment_layer for site in model.plan.graph.sites]


@pytest.mark.parametrize(
    ("row", "reads"),
    [
        ("composed", ("kv", "refresh", [1])),
        ("vanilla augment", ("anchor", "refresh", [2])),
        ("random augment", ("random-model", "refresh", [1])),
        ("prompt-only", ("kv", "prompt", [1])),
    ],
)
def test_a_swap_reads_what_its_name_says(place: Place, row: str, reads: tuple[Any, ...]) -> None:
    assert parts(ROWS[row](place)[0]) == reads


def test_a_random_augment_is_the_augment_with_other_weights(place: Place) -> None:
    model, _ = ROWS["random augment"](place)
    assert isinstance(model, ComposedModel)
    known = place.composed(place.experiment.augment, place.experiment.bridges).augment("augment")
    fresh = model.augment("augment")
    assert fresh.config.to_dict() == {**known.config.to_dict(), "_name_or_path": fresh.config.name_or_path}
    for name, weight in known.state_dict().items():
        assert torch.equal(weight, fresh.state_dict()[name]) is ("norm" in name), name


def test_every_trained_row_learns_from_the_same_rows_in_the_same_order(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[Any]] = []
    asked = place.experiment.encode

    def noted(drawn: Any) -> Any:
        read[-1].append(drawn)
        return asked(drawn)

    place.experiment = replace(place.experiment, encode=noted, lora_rates=(1e-3,), trial=1.0)
    for name in ("composed", "random augment", "prompt-only", "LoRA"):
        read.append([])
        ROWS[name](place)
    composed, random_augment, prompt_only, adapted = read
    assert composed == random_augment == prompt_only
    assert adapted == composed * 2  # tried once, with all steps, and then trained


def test_only_the_rows_own_weights_learn(place: Place) -> None:
    before = place.anchor().state_dict()
    for name in ("LoRA", "prompt-only"):
        model, told = ROWS[name](place)
        held = dict(model.state_dict()) if name == "LoRA" else model.anchor.state_dict()  # type: ignore[union-attr]
        frozen = {key.replace("base_model.model.", "").replace(".base_layer", ""): held[key] for key in held}
        assert all(torch.equal(frozen[key], weight) for key, weight in before.items())
        assert told["trained"] == num_learning(model)


def test_lora_leaves_the_head_and_the_global_random_state_alone(place: Place) -> None:
    state = torch.get_rng_state()
    adapted = lora(place.anchor(), num_weights=100, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    names = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert names
    assert not any("lm_head" in name for name in names)


def test_a_loss_is_that_of_what_is_learnt(place: Place, words: PreTrainedTokenizerFast) -> None:
    model: Any = place.anchor()
    batch = encode(words, rows(4))
    found = losses(model, batch)
    for row, loss in enumerate(found):
        length = int((batch.ids[row] != 0).sum())
        ids, labels = batch.ids[row : row + 1, :length], batch.labels[row : row + 1, :length]
        assert model(ids, labels=labels).loss.item() == pytest.approx(loss, abs=1e-5)


def test_leads_and_losses_point_the_way_that_they_say(experiment: Controlled) -> None:
    values = {"keys": [1.0, 0.0, 1.0, 1.0], "digits": [1.0, 1.0, 0.0], "texts": [0.5] * 7}
    worse = {"keys": [0.0, 0.0, 1.0, 0.0], "digits": [0.0, 1.0, 0.0], "texts": [0.75] * 7}
    found = {name: {"trained": 0, "values": values} for name in ("anchor", "composed")}
    row = summary(experiment, {**found, "LoRA": {"trained": 7, "values": worse}})["rows"]["LoRA"]
    assert row["leads"]["keys"]["value"] == 0.5
    assert row["forgot"]["digits"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert row["forgot"]["texts"] == {"value": 0.25, "low": 0.25, "high": 0.25}


def test_lora_without_its_package_says_how_to_get_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(TrainError, match=r"^LoRA needs peft: pip install 'orchestra-lm\[eval\]'\.$"):
        lora(place.anchor(), num_weights=1, seed=0)


def test_rows_without_a_bridge_learn_without_twins(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [exercise(random.Random(0), KEYS)]
    twins: dict[str, bool] = {}

    def noted(model: Any, lesson: Any, made: Any, settings: Fit, *, checkpoint: Path, title: str) -> float:
        twins[title] = made(drawn).twins is not None
        return 0.0

    monkeypatch.setattr(control_rows, "fit", noted)
    place.experiment = replace(place.experiment, lora_rates=(1e-3,))
    for name in ("composed", "vanilla augment", "LoRA", "anchor fine-tuned"):
        ROWS[name](place)
    assert {title for title, there in twins.items() if there} == {"tiny: composed", "tiny: vanilla"}
    assert {title for title, there in twins.items() if not there} >= {"tiny: lora", "tiny: fine-tuned"}


def test_an_augment_that_reads_prompts_is_told_that_they_end_before_the_answer(
    place: Place, words: PreTrainedTokenizerFast
) -> None:
    batch = encode(words, rows(4))
    reader = place.composed(place.experiment.augment, place.experiment.bridges, context="prompt")
    told = prompts(reader, batch)["prompt_length"]
    asked = words(["".join(text for text, learnt in row if not learnt) for row in rows(4)])["input_ids"]
    assert told.tolist() == [len(ids) for ids in asked]
    assert prompts(place.composed(place.experiment.augment, place.experiment.bridges), batch) == {}
    assert losses(reader, batch) == losses(place.anchor(), batch)  # a fresh stack is silent


def test_the_committed_table_is_that_of_the_committed_results() -> None:
    shipped = Path(__file__).parents[2] / "benchmarks/results"
    committed = json.loads((shipped / "controls.json").read_text(encoding="utf-8"))
    assert (shipped / "controls.md").read_text(encoding="utf-8") == report(committed)
