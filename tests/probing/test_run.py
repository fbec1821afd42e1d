"""The whole of a probing, on tiny models that hold what is planted."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestra import ComposedModel
from orchestra.errors import ComposeError, DataError
from orchestra.probing import ProbeSpec, probe
from tests.deep import deep
from tests.tiny import compose, model, words

LAST = (3, 5, 7, 11, 13)


def write(path: Path, *, planted: bool = True, spans: bool = False, texts: int = 90) -> Path:
    """Texts whose last word, or whose marked word, decides what is to be told; unless nothing is planted."""
    rng = random.Random(0)
    lines = []
    for _ in range(texts):
        read = [f"w{rng.randrange(20, 97)}" for _ in range(rng.randrange(1, 5))]
        word = rng.choice(LAST)
        told = f"w{word + 40 if planted else rng.choice(LAST)}"
        before = " ".join(read)
        if spans:
            mark = {"start": len(before) + 1, "end": len(before) + 1 + len(f"w{word}"), "label": told}
            lines.append({"prompt": f"{before} w{word} w19", "spans": [mark], "label": rng.choice(("yes", "no"))})
        else:
            lines.append({"prompt": f"{before} w{word}", "completion": told})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def composed() -> ComposedModel:
    return compose(model("llama"), tokenizers={"anchor": words()}, kv=model("gpt2", seed=1), off=model("llama", seed=2))


def spec(path: Path) -> ProbeSpec:
    return ProbeSpec(data=path, augments=("kv",), resamples=200, batch_size=7)


def test_what_is_planted_is_found_and_bridges_from_there_are_proposed(composed: ComposedModel, tmp_path: Path) -> None:
    found = probe(composed, spec(write(tmp_path / "data.jsonl")))
    [places] = found.places
    assert (places.kind, places.num_fit + places.num_held, places.num_labels, places.known) == ("prompt", 90, 5, 1.0)
    first = places.layers["kv"][0]
    assert (first.told.value, first.nearest.value) == (1.0, 1.0)
    assert (first.explained.value or 0) > 0.8
    assert (places.most_frequent.value or 1) < 0.5
    assert list(places.layers) == ["kv", "anchor"]
    # What stands at the place the anchor knows as well: the label follows from the word itself.
    assert places.layers["anchor"][0].layer == "embedding"
    assert places.layers["anchor"][0].told.value == 1.0


def test_labels_past_the_classes_are_known_to_no_probe(composed: ComposedModel, tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl")
    [places] = probe(composed, replace(spec(path), classes=2)).places
    assert places.num_labels == 2
    assert places.known < 0.8
    assert (places.layers["kv"][0].told.value or 0) == places.known


def test_bridges_are_proposed_from_what_the_anchor_does_not_know(tmp_path: Path) -> None:
    blind = model("llama")
    with torch.no_grad():
        embed: Any = blind.get_input_embeddings()
        embed.weight[list(LAST)] = 0.1  # these words look alike to it
    composed = compose(blind, tokenizers={"anchor": words()}, kv=model("gpt2", seed=1))
    found = probe(composed, spec(write(tmp_path / "data.jsonl")))
    [places] = found.places
    assert (places.layers["anchor"][0].told.value or 0) < 0.5
    assert (places.adds["kv"].low or 0) > 0.5
    [bridge] = found.pairs["kv"]
    assert bridge.anchor_layer == "embedding"


def test_what_the_anchor_knows_as_well_adds_nothing_and_no_bridge_is_proposed(tmp_path: Path) -> None:
    twins = compose(model("llama"), tokenizers={"anchor": words()}, kv=model("llama"))
    found = probe(twins, spec(write(tmp_path / "data.jsonl")))
    [places] = found.places
    assert (places.layers["kv"][0].explained.low or 0) > 0.5
    assert (places.adds["kv"].value or 0) < 0.1
    assert found.pairs == {"kv": ()}


def test_where_nothing_is_planted_nothing_is_found(composed: ComposedModel, tmp_path: Path) -> None:
    found = probe(composed, spec(write(tmp_path / "data.jsonl", planted=False)))
    assert found.pairs == {"kv": ()}
    assert all((score.explained.value or 0) < 0.3 for score in found.places[0].layers["kv"])


def test_spans_are_told_where_they_end(composed: ComposedModel, tmp_path: Path) -> None:
    found = probe(composed, spec(write(tmp_path / "data.jsonl", spans=True)))
    assert [places.kind for places in found.places] == ["prompt", "spans"]
    at_end, at_span = (places.layers["kv"][0] for places in found.places)
    assert (at_span.told.value or 0) > 0.9
    assert (at_end.told.value or 1) < 0.8


def test_the_anchors_own_state_is_regressed_layer_by_layer(composed: ComposedModel, tmp_path: Path) -> None:
    found = probe(composed, spec(write(tmp_path / "data.jsonl")))
    scores = found.places[0].layers
    alike = scores["kv"][0].alike
    assert alike is not None
    assert list(alike) == ["embedding", *(str(score.layer) for score in scores["anchor"][1:])]
    assert (alike["embedding"] or 0) > 0.5  # both hold the word that is read
    assert (alike["embedding"] or 0) > (alike["2"] or 0)
    assert scores["anchor"][0].alike is None


def test_the_same_seed_finds_the_same_and_batches_change_nothing(composed: ComposedModel, tmp_path: Path) -> None:
    asked = spec(write(tmp_path / "data.jsonl"))
    found = probe(composed, asked)
    assert probe(composed, asked) == found
    again = probe(composed, replace(asked, batch_size=90))
    for one, two in zip(found.places[0].layers["kv"], again.places[0].layers["kv"], strict=True):
        assert one.told == two.told
        assert one.explained.value == pytest.approx(two.explained.value, abs=1e-5)
    assert probe(composed, replace(asked, seed=1)).places != found.places


def test_records_of_their_own_are_scored_on_and_texts_that_were_fitted_on_are_not(
    composed: ComposedModel, tmp_path: Path
) -> None:
    path = write(tmp_path / "data.jsonl")
    lines = path.read_text().splitlines()
    other = tmp_path / "eval.jsonl"
    fresh = [json.dumps({"prompt": f"w17 w{18 + index} w3", "completion": "w43"}) for index in range(11)]
    other.write_text("\n".join([*lines[:20], *fresh]))
    found = probe(composed, replace(spec(path), eval_data=other))
    assert found.num_texts == (90, 11)
    assert found.places[0].layers["kv"][0].told.value == 1.0


def test_texts_that_stand_there_many_times_count_once(composed: ComposedModel, tmp_path: Path) -> None:
    once = write(tmp_path / "once.jsonl", planted=False)
    (tmp_path / "often.jsonl").write_text(once.read_text() * 5)
    lone, often = (probe(composed, spec(path)).places[0] for path in (once, tmp_path / "often.jsonl"))
    assert often.most_frequent == lone.most_frequent
    assert [str(each.told) for each in often.layers["kv"]] == [str(each.told) for each in lone.layers["kv"]]
    assert str(often.adds["kv"]) == str(lone.adds["kv"])


@pytest.mark.parametrize("apart", [False, True])
def test_too_few_texts_with_spans_are_refused_before_a_model_runs(
    composed: ComposedModel, tmp_path: Path, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("orchestra.probing.run.states")
    path, other = write(tmp_path / "data.jsonl"), tmp_path / "eval.jsonl"
    span = {"prompt": "w11 w12 w13", "spans": [{"start": 0, "end": 3, "label": "w43"}]}
    with path.open("a") as file:
        file.write(f"{json.dumps(span)}\n" * 20)
    other.write_text("".join(f"{json.dumps({'prompt': f'w17 w{20 + at}', 'label': 'w43'})}\n" for at in range(11)))
    given = replace(spec(path), eval_data=other if apart else None)
    fit = f"{path}: leaves 1 texts with spans to fit on, and 10 are needed: give it more, or none."
    score = (
        f"{other if apart else path}: leaves 0 texts with spans to score on, and 10 are needed: give it more, or none."
    )
    with pytest.raises(DataError, match=f"^{re.escape(fit)}\n{re.escape(score)}$"):
        probe(composed, given)


def test_too_few_texts_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", texts=30)
    message = f"{path}: leaves 8 texts to score on, and 10 are needed: give it more records."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        probe(tmp_path / "no-graph.json", spec(path))


def test_who_cannot_be_probed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl")
    chain = deep("chain", "feeder streams")
    first = (
        "'first' feeds second and not the anchor, and probes tell what the anchor could be brought. Name the others, "
        "or probe it in a graph of its own."
    )
    second = (
        "'first' feeds 'second': what 'second' holds changes with the bridges between them, and is not probed. Name "
        "the others, or probe it in a graph of its own."
    )
    third = "no augment is called 'third'; this graph has first, second."
    for names, message in ((("third",), third), ((), f"{first}\n{second}")):
        with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
            probe(chain, replace(spec(path), augments=names))


def test_settings_out_of_range_are_all_named() -> None:
    message = "batch_size is 0; it must be at least 1.\nheld_out is 1.0; it must be above 0 and below 1."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        ProbeSpec(data=Path("x"), batch_size=0, held_out=1.0)
