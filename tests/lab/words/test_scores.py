import json
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestra.lab.asking import loaded
from orchestra.lab.fitting import Fit
from orchestra.lab.words import training
from orchestra.lab.words.brought import brought
from orchestra.lab.words.lessons import FOREIGN, columns, stories
from orchestra.lab.words.lexicon import GAINS, LOSSES, NOUNS
from orchestra.lab.words.report import report
from orchestra.lab.words.scores import question, reproduce
from orchestra.lab.words.settings import Settings
from orchestra.lab.words.training import Workshop
from orchestra.lab.words.vocabulary import words_of

TINY = Fit(steps=2, batch=3, rate=1e-3, muon=0.0, warmup=1, save_every=1)
SMALL = Settings(
    width=32,
    layers=2,
    augment_width=64,
    augment_layers=1,
    questions=2,
    anchor=TINY,
    learn=TINY,
    polish=TINY,
    bridges=TINY,
    tune=TINY,
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("reproduced")
    reproduce(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def shop(output: Path) -> Workshop:
    return Workshop(output / "runs/words", SMALL)


def test_every_model_is_asked_every_column(output: Path) -> None:
    results = json.loads((output / "benchmarks/results/words.json").read_text())
    assert list(results["scores"]) == ["augment", "anchor", "composed", "tuned"]
    for found in (*results["scores"].values(), results["twins"]):
        assert list(found) == list(columns())
        assert {record["asked"] for record in found.values()} == {2}
    assert set(results["cpu_minutes"]) == {"anchor", "augment-learn", "augment-polish", "bridges", "tuned"}


def test_the_table_has_a_line_per_column_and_the_papers_numbers(output: Path) -> None:
    table = (output / "benchmarks/results/words.md").read_text()
    assert table == report(json.loads((output / "benchmarks/results/words.json").read_text()))
    for column in columns().values():
        assert f"\n| {column.title} | 0.0 [0.0, 65.8] |" in table
    assert "low-resource languages | 5.0 | 22.5 | **25.0** | 22.6 | |" in table
    assert "high-resource languages | 5.6 | 28.0 | **31.8** | 25.6 | |" in table
    assert "`orchestra reproduce words`" in table


def test_what_is_there_is_not_made_again(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("trained again")

    monkeypatch.setattr(training, "fit", fail)
    before = (output / "benchmarks/results/words.json").read_bytes()
    reproduce(output, SMALL)
    assert (output / "benchmarks/results/words.json").read_bytes() == before


def test_fine_tuning_starts_from_the_anchor_and_composing_leaves_it_as_it_is(shop: Workshop) -> None:
    anchor, tuned = (loaded(folder).state_dict() for folder in (shop.anchor(), shop.tuned()))
    assert any(not torch.equal(anchor[name], tuned[name]) for name in anchor)
    for name in anchor:
        torch.testing.assert_close(tuned[name], anchor[name], rtol=0, atol=5 * TINY.rate)
    composed = shop.composed().anchor.state_dict()
    assert all(torch.equal(anchor[name], composed[name]) for name in anchor)


def test_foreign_words_that_the_anchor_never_read_are_empty_and_no_others(shop: Workshop) -> None:
    embed: Any = loaded(shop.anchor()).get_input_embeddings()
    rows = embed.weight
    words = shop.words.get_vocab()
    assert all(rows[words[word]].eq(0).all() for word in words_of("tetum"))
    empty = [word for word in words_of("spanish") if rows[words[word]].eq(0).all()]
    assert len(empty) > 0
    assert not any(rows[words[word]].eq(0).all() for word in words_of("english"))


def test_a_stack_is_trained_for_another_augment_beside_the_first(shop: Workshop) -> None:
    model = shop.composed(shop.anchor(), name="vanilla")
    assert str(model.plan) == "anchor embedding <- glosses 0   (32 -> 32, 1 heads)"
    assert {path.name for path in shop.folder.iterdir() if path.is_dir()} >= {"bridges", "vanilla"}


def test_the_twin_of_a_question_is_english_and_its_answer_the_same(shop: Workshop) -> None:
    told = stories(columns()["tetum/new"], SMALL)[0]
    assert question(told) == ((f"{told.text} ", False), (told.working, True))
    assert question(told, twin=True) == ((f"{told.english} ", False), (told.working, True))


@torch.no_grad()
def test_words_are_brought_right_where_the_anchor_gets_the_english_ones(shop: Workshop) -> None:
    model = shop.composed()
    for language in FOREIGN:
        assert sum(one.right for one in brought(model, language, stories=20).values()) < 10
    table: Any = model.anchor.get_input_embeddings()
    words = shop.words.get_vocab()
    for meaning in (*NOUNS, *GAINS, *LOSSES):
        for language in FOREIGN:
            table.weight[words[meaning.word(language)]] = table.weight[words[meaning.english]]
    with model.ablate("glosses"):
        found = brought(model, "tetum", stories=20)
    assert set(found) == {"both", "tetum", "spanish", "neither"}
    assert {one.percent for one in found.values()} == {100.0}
