"""swap(): what is trained for each control, that it is fair, and that the user's graph stays as it is."""

import json
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

import orchestra
from orchestra.errors import DataError, TrainError
from orchestra.io.bundle import read_config
from orchestra.train import Swap, SwapResult, SwapSpec, TrainSpec, swap, swapping, train
from orchestra.train.encode import read_examples
from orchestra.train.held_out import score
from orchestra.train.swap_spec import parse
from orchestra.train.trainer import BridgeTrainer
from tests import folders
from tests.train.conftest import records, tiny_tokenizer, write_graph

BUDGET = {"steps": 5, "batch_size": 4, "learning_rate": 1e-2, "schedule": "cosine", "warmup": 2, "seed": 3}
ROWS = 3
RANDOM, PROMPT = Swap(augment="kv", kind="random"), Swap(augment="kv", kind="prompt-only")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph whose kv has a bundle of `orchestra train`, with the records that it was trained on, and others."""
    folder: Path = tmp_path_factory.mktemp("mine")
    graph = write_graph(folder)
    found = records()
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in found[ROWS:]))
    (folder / "others.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in found[:ROWS]))
    spec = TrainSpec(data=folder / "pairs.jsonl", output=folder, augments=("kv",), **BUDGET)  # type: ignore[arg-type]
    train(graph, replace(spec, output=folder / "bridges"))
    content = json.loads(graph.read_text())
    content["augments"]["kv"]["bridges"] = "bridges/kv"
    folders.graph(graph, content)
    return folder


@pytest.fixture(scope="module")
def vanilla(base: Path) -> Swap:
    return Swap(augment="kv", kind="vanilla", model=str(base / "digits"))


Spec = Callable[..., SwapSpec]


@pytest.fixture
def spec(base: Path, tmp_path: Path) -> Spec:
    def made(*swaps: Swap, **changes: Any) -> SwapSpec:
        told = {"data": base / "pairs.jsonl", "eval_data": base / "others.jsonl", "output": tmp_path / "out"}
        return SwapSpec(swaps=swaps, **{**told, **changes})

    return made


@pytest.fixture(scope="module")
def whole(base: Path, vanilla: Swap, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SwapSpec, SwapResult]:
    """All three controls at once."""
    output: Path = tmp_path_factory.mktemp("out")
    told = {"data": base / "pairs.jsonl", "eval_data": base / "others.jsonl", "output": output}
    asked = SwapSpec(swaps=(RANDOM, vanilla, PROMPT), **told)  # type: ignore[arg-type]
    before = folders.snapshot(base)
    result = swap(base / "graph.json", asked)
    assert folders.snapshot(base) == before
    return output, asked, result


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "bridge_model.safetensors")


def test_every_row_is_there_and_all_but_the_original_say_how_far_they_are_from_it(
    whole: tuple[Path, SwapSpec, SwapResult],
) -> None:
    rows = whole[2].rows
    assert [row.name for row in rows] == [
        "anchor alone",
        "kv, as it is",
        "kv=random",
        "kv=vanilla:digits",
        "kv=prompt-only",
    ]
    assert [row.loss_above is None for row in rows] == [True, True, False, False, False]
    assert rows[2].loss_above is not None
    assert rows[2].loss_above.value == pytest.approx(rows[2].loss.value - rows[1].loss.value)
    assert rows[1].trained == rows[2].trained == rows[4].trained > 0
    assert whole[2].notes == (
        "3 records are held out (others.jsonl); 14 are trained on.",
        "kv: 5 steps of 4, learning rate 0.01 (cosine, warmup 2), seed 3: as its bundle was trained, which is taken as "
        "it is.",
    )


def test_a_control_has_a_graph_that_loads_it_and_a_bundle_that_says_the_same_budget(
    base: Path, whole: tuple[Path, SwapSpec, SwapResult]
) -> None:
    recipe = read_config(base / "bridges/kv").recipe
    for row in whole[2].rows[2:]:
        assert row.graph is not None
        (stack,) = orchestra.load(row.graph).plan.graph.stacks
        assert stack.bundle == str(row.graph.parent.resolve() / "kv")
        told = read_config(Path(stack.bundle)).recipe
        only = {"prompt_only": "kv"} if row.name == "kv=prompt-only" else {}
        assert told == {**recipe, **only}
        assert str(base) not in row.graph.read_text()


def test_a_row_is_scored_with_its_own_augment_on(base: Path, whole: tuple[Path, SwapSpec, SwapResult]) -> None:
    graphs = {"kv, as it is": base / "graph.json"} | {row.name: row.graph for row in whole[2].rows[2:]}
    examples = read_examples(base / "others.jsonl", tiny_tokenizer(), max_length=None, vocab_size=23)
    losses = {}
    for name, graph in graphs.items():
        assert graph is not None
        with (model := orchestra.load(graph)).only("kv"):
            found = score(model, examples, batch_size=4, asked=1, pad_id=0, bf16=False)
        losses[name] = sum(found.losses) / sum(found.tokens)
    assert {row.name: row.loss.value for row in whole[2].rows[1:]} == pytest.approx(losses)
    assert len({row.loss.value for row in whole[2].rows}) == len(whole[2].rows)


def test_what_stands_in_the_augments_place_is_what_the_swap_says(
    base: Path, whole: tuple[Path, SwapSpec, SwapResult]
) -> None:
    found = {}
    for row in whole[2].rows[2:]:
        assert row.graph is not None
        model = orchestra.load(row.graph)
        (node,) = model.plan.graph.augments
        sites = [(site.augment_layer, site.anchor_layer) for site in model.plan.graph.sites]
        source = Path(node.facts.source).name
        found[row.name] = (source.rpartition("-")[0] or source, node.context, sites)  # but for a digest at the end
    assert found == {
        "kv=random": ("model-3", "refresh", [(0, "embedding"), (1, 1)]),
        "kv=vanilla:digits": ("digits", "refresh", [(1, "embedding"), (2, 1)]),  # three layers instead of two
        "kv=prompt-only": ("kv", "prompt", [(0, "embedding"), (1, 1)]),
    }


def test_asked_again_nothing_is_trained_and_nothing_loaded(
    base: Path, whole: tuple[Path, SwapSpec, SwapResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swapping, "load", None)
    monkeypatch.setattr(swapping, "train", None)
    assert swap(base / "graph.json", whole[1]) == whole[2]


def test_what_is_there_may_be_discarded(base: Path, spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    one = spec(PROMPT, budget={"steps": 1})
    first = swap(base / "graph.json", one)
    trained: list[str] = []

    def noted(model: Any, told: TrainSpec) -> None:
        trained.append(told.output.name)
        train(model, told)

    monkeypatch.setattr(swapping, "train", noted)
    assert swap(base / "graph.json", one) == first
    assert trained == []
    assert swap(base / "graph.json", replace(one, budget={"steps": 1, "resume": False})) == first
    assert trained == ["kv-original", "kv-prompt-only"]


def test_the_same_model_in_the_augments_place_gives_the_very_bridges_of_the_original(
    base: Path, spec: Spec, tmp_path: Path
) -> None:
    same = Swap(augment="kv", kind="vanilla", model=str(base / "kv"))
    rows = swap(base / "graph.json", spec(same)).rows
    assert rows[1].name == "kv, as it is"
    trained, mine = (weights(folder) for folder in (tmp_path / "out" / "kv-vanilla-kv/kv", base / "bridges/kv"))
    assert trained.keys() == mine.keys()
    assert all(torch.equal(trained[name], mine[name]) for name in mine)
    assert (rows[2].loss, rows[2].exact) == (rows[1].loss, rows[1].exact)


def test_another_budget_has_the_original_trained_again(base: Path, spec: Spec, tmp_path: Path) -> None:
    result = swap(base / "graph.json", spec(PROMPT, budget={"steps": 2, "batch_size": 2}))
    assert result.notes[1] == (
        "kv: 2 steps of 4, learning rate 0.01 (cosine, warmup 2), seed 3. The original is trained again: steps was 5 "
        "and is 2."
    )
    assert [row.name for row in result.rows[1:]] == ["kv, trained again", "kv=prompt-only"]
    first, second = (read_config(tmp_path / "out" / place / "kv").recipe for place in ("kv-original", "kv-prompt-only"))
    assert first == {key: value for key, value in second.items() if key != "prompt_only"}
    assert (first["steps"], first["global_batch"]) == (2, 4)


def test_scores_of_models_that_are_held_in_another_type_are_not_taken_for_these(base: Path, spec: Spec) -> None:
    one = spec(PROMPT, budget={"steps": 1})
    first = swap(base / "graph.json", one)
    content = json.loads((base / "graph.json").read_text())
    for fields in (content["anchor"], content["augments"]["kv"]):
        fields["dtype"] = "bfloat16"
    coarse = folders.graph(base / "coarse.json", content)
    with pytest.raises(TrainError, match=r"is a checkpoint of another training: reads was .*bfloat16"):
        swap(coarse, one)
    second = swap(coarse, replace(one, budget={"steps": 1, "resume": False}))
    coarse.unlink()
    assert all(row.loss != other.loss for row, other in zip(first.rows, second.rows, strict=True))


def test_an_original_that_went_on_from_another_is_trained_again(base: Path, spec: Spec, tmp_path: Path) -> None:
    told = TrainSpec(data=base / "pairs.jsonl", output=tmp_path / "further", augments=("kv",), **BUDGET)  # type: ignore[arg-type]
    train(base / "graph.json", told)
    further = changed(base, "further.json", kv={"bridges": str(tmp_path / "further/kv")})
    note = swap(further, spec(PROMPT)).notes[1]
    further.unlink()
    before = read_config(base / "bridges/kv").weights_sha256
    assert note.endswith(f"The original is trained again: continues was {before[:12]}... and is none.")


def test_bridges_trained_further_in_memory_are_told_from_fresh_ones(base: Path, tmp_path: Path) -> None:
    model = orchestra.load(changed(base, "memory.json", kv={"bridges": {"every": 1}}))
    (base / "memory.json").unlink()
    for turn, told in enumerate([None, "weights in memory"]):
        spec = TrainSpec(data=base / "pairs.jsonl", output=tmp_path / str(turn), augments=("kv",), **BUDGET)  # type: ignore[arg-type]
        train(model, spec)
        assert read_config(tmp_path / str(turn) / "kv").recipe.get("continues") == told


def test_fresh_bridges_of_a_control_begin_with_the_seed_of_the_original(base: Path, spec: Spec, tmp_path: Path) -> None:
    pairs = [{"augment_layer": 0, "anchor_layer": "embedding"}, {"augment_layer": 1, "anchor_layer": 1}]
    fresh = changed(base, "fresh.json", kv={"bridges": {"pairs": pairs, "seed": 7}})
    told = TrainSpec(data=base / "pairs.jsonl", output=tmp_path / "seeded", augments=("kv",), **BUDGET)  # type: ignore[arg-type]
    train(fresh, told)
    seeded = changed(base, "seeded.json", kv={"bridges": str(tmp_path / "seeded/kv")})
    same = Swap(augment="kv", kind="vanilla", model=str(base / "kv"))
    rows = swap(seeded, spec(same)).rows
    for path in (fresh, seeded):
        path.unlink()
    assert rows[1].name == "kv, as it is"
    trained, mine = (weights(folder) for folder in (tmp_path / "out/kv-vanilla-kv/kv", tmp_path / "seeded/kv"))
    assert all(torch.equal(trained[name], mine[name]) for name in mine)


def test_a_model_with_other_weights_has_a_random_one_of_its_own(base: Path, spec: Spec) -> None:
    one = spec(RANDOM, budget={"steps": 1, "seed": 1, "resume": False})
    swap(base / "graph.json", one)
    other = changed(base, "other.json", kv={"model": "tetum", "bridges": {"every": 1}})
    swap(other, one)
    other.unlink()
    made = sorted((one.output / "kv-random").glob("model-*"))
    assert sorted(json.loads((path / "config.json").read_text())["hidden_size"] for path in made) == [12, 20]


def test_a_share_that_is_held_out_is_trained_on_by_nobody(base: Path, spec: Spec) -> None:
    asked = spec(RANDOM, eval_data=None, held_out=0.3, budget={"steps": 1})
    result = swap(base / "graph.json", asked)
    (folder,) = asked.output.glob("data-*")
    parts = [(folder / name).read_text().splitlines() for name in ("trained-on.jsonl", "held-out.jsonl")]
    assert sorted([*parts[0], *parts[1]]) == sorted((base / "pairs.jsonl").read_text().splitlines())
    assert not {*parts[0]} & {*parts[1]}
    assert result.notes[0] == (
        f"{len(parts[1])} records are held out (a share of 0.3 of pairs.jsonl); {len(parts[0])} are trained on."
    )
    assert "trained again: seed" not in result.notes[1]
    assert re.search(
        r"The original is trained again: .*data_sha256 was \w{12}\.\.\. and is \w{12}\.\.\.", result.notes[1]
    )
    assert read_config(asked.output / "kv-random/kv").recipe["records"] == len(parts[0])


def test_a_graph_without_a_record_takes_the_budget_that_is_given(base: Path, spec: Spec) -> None:
    swaps = Swap(augment="tetum", kind="random"), RANDOM
    result = swap(base / "graph.json", spec(*swaps, budget={"steps": 1, "batch_size": 3}))
    assert [row.name for row in result.rows] == [
        "anchor alone",
        "tetum, trained again",
        "tetum=random",
        "kv, trained again",
        "kv=random",
    ]
    assert result.notes[1] == (
        "tetum: 1 steps of 3, learning rate 0.0003 (linear, warmup 0), seed 0. The original is trained again: no "
        "record of `orchestra train` says how it was."
    )
    assert [row.trained for row in result.rows[1:3]] != [row.trained for row in result.rows[3:]]


def test_a_comparison_that_was_stopped_goes_on_and_ends_as_one_that_was_not(
    base: Path, spec: Spec, whole: tuple[Path, SwapSpec, SwapResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, stops = BridgeTrainer.training_step, iter([False] * 3 + [True] + [False] * 99)

    def interrupted(self: Any, *args: Any) -> Any:
        if next(stops):
            signal.raise_signal(signal.SIGTERM)
        return original(self, *args)

    monkeypatch.setattr(BridgeTrainer, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after step 4 of 5; the same command goes on from there"):
        swap(base / "graph.json", spec(RANDOM))
    result = swap(base / "graph.json", spec(RANDOM))
    assert [(row.name, row.loss, row.exact) for row in result.rows] == [
        (row.name, row.loss, row.exact) for row in whole[2].rows[:3]
    ]


def test_held_out_records_that_are_trained_on_as_well_are_told(base: Path, spec: Spec, tmp_path: Path) -> None:
    lines = (base / "pairs.jsonl").read_text().splitlines()[:2] + (base / "others.jsonl").read_text().splitlines()
    (tmp_path / "leaky.jsonl").write_text("\n".join([*lines, lines[-1]]))
    result = swap(base / "graph.json", spec(PROMPT, eval_data=tmp_path / "leaky.jsonl", budget={"steps": 1}))
    assert result.notes[0] == (
        "5 records are held out (leaky.jsonl); 14 are trained on. 1 more stood there again, and count once. 2 of the "
        "held-out records have prompts that are trained on as well: they say little."
    )


def test_two_do_not_work_in_one_folder(base: Path, spec: Spec) -> None:
    asked = spec(RANDOM, budget={"steps": 1})
    asked.output.mkdir()
    message = f"output {asked.output}: another process works there; wait for it, or name another."
    with FileLock(asked.output / ".lock"), pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
        swap(base / "graph.json", asked)
    assert not (asked.output / "scores.json").exists()
    assert [row.name for row in swap(base / "graph.json", asked).rows][-1] == "kv=random"


@pytest.mark.parametrize("text", ["kv", "kv=", "=random", "kv=vanilla", "kv=vanilla:", "kv=randomly", "kv=random:x"])
def test_a_swap_that_is_none_is_told_what_there_is(text: str) -> None:
    message = f"swap is {text!r}; it is NAME=random, NAME=vanilla:FOLDER or NAME=prompt-only."
    with pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
        parse(text)


def test_swaps_are_read_as_they_are_typed() -> None:
    assert [parse(text) for text in ("kv=random", "kv=prompt-only", "kv=vanilla:a/b:c")] == [
        RANDOM,
        PROMPT,
        Swap(augment="kv", kind="vanilla", model="a/b:c"),
    ]


def test_settings_that_cannot_work_are_all_named(tmp_path: Path) -> None:
    twice = [Swap(augment="kv", kind="vanilla", model=f"{folder}/kv") for folder in ("a", "b")]
    with pytest.raises(TrainError) as caught:
        SwapSpec(swaps=tuple(twice), data=tmp_path, output=tmp_path, held_out=1.0, asked=0)
    assert str(caught.value).splitlines() == [
        "two swaps would both be written to kv-vanilla-kv: give one of them, or rename a folder.",
        "held_out is 1.0; it must be above 0 and below 1.",
        "asked is 0; it must be at least 1.",
    ]
    with pytest.raises(TrainError, match=r"^there is nothing to swap: give at least one of NAME=random, "):
        SwapSpec(swaps=(), data=tmp_path, output=tmp_path)


def changed(base: Path, name: str, **augments: Any) -> Path:
    content = json.loads((base / "graph.json").read_text())
    for augment, fields in augments.items():
        content["augments"][augment] |= fields
    return folders.graph(base / name, content)


def test_what_cannot_be_swapped_is_refused_before_anything_is_trained(base: Path, spec: Spec) -> None:
    fed = changed(base, "fed.json", tetum={"into": ["kv"], "bridges": {"every": 1}}, kv={"bridges": {"every": 1}})
    reader = changed(base, "reader.json", kv={"context": "prompt", "bridges": {"every": 1}})
    refused = [
        (
            base / "graph.json",
            Swap(augment="kw", kind="random"),
            "no augment is called 'kw'; this graph has kv, tetum.",
        ),
        (fed, RANDOM, "augment 'kv' is fed by tetum; only an augment that feeds nothing but the anchor is swapped."),
        (
            fed,
            Swap(augment="tetum", kind="random"),
            "augment 'tetum' feeds kv; only an augment that feeds nothing but the anchor is swapped.",
        ),
        (reader, PROMPT, "augment 'kv' reads the prompt only as it is; there is nothing to swap."),
    ]
    for graph, asked, message in refused:
        with pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
            swap(graph, spec(asked))
    for path in (fed, reader):
        path.unlink()


def test_what_is_trained_on_is_not_held_out_as_well(base: Path, spec: Spec) -> None:
    message = f"{base}/pairs.jsonl: is the data that is trained on: hold other records out."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        swap(base / "graph.json", spec(RANDOM, eval_data=base / "pairs.jsonl"))
