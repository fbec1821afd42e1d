import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestra.errors import TrainError
from orchestra.lab import tokenizer
from orchestra.lab.contest import kept, score
from orchestra.lab.contest.contest import Contest
from orchestra.lab.models import small_llama
from orchestra.lab.translation import experiment, table
from orchestra.lab.translation.data import Split
from orchestra.lab.translation.experiment import Settings, reproduce
from tests.lab.translation.test_data import install

# peft 0.21 asks transformers 5 by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
SMALL = Settings(
    language="xx",
    name="Lower",
    train=12,
    tune=3,
    test=4,
    shots=1,
    batch=4,
    prose=2,
    pairs=((1, 0),),
    itself=((1, 0),),
)
WORDS = ["open", "close", "save", "print", "file", "page", "line", "word", "first", "last", "old", "new"]
TRAINED = {"fine-tuned", "lora", "random augment", "vanilla augment", "prompt only", "composition"}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the experiment has run, with small models in the place of the real ones."""
    base: Path = tmp_path_factory.mktemp("translation")
    for name, words in (("smollm2", tokenizer.build()), ("gemma3", tokenizer.characters())):
        small_llama(words, width=32, layers=2, inner=32, seed=0).save_pretrained(base / name)
        words.save_pretrained(base / name)
    for number in range(30):
        one, two, three = WORDS[number % 12], WORDS[(5 * number + 1) % 12], WORDS[(7 * number + number // 12) % 12]
        english = f"{one} the {two} and {three} {number % 5 * 'very '}soon"
        catalogue = f"program{'abcdefghij'[number % 10]}"
        install(base / "runs/translation/catalogues" / str(number), catalogue, {english.capitalize(): english[::-1]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "fetch", lambda name: None)
        patch.setattr(experiment, "folder", lambda name: base / name)
        patch.setattr(kept, "TOKENS", 12)
        patch.setattr(score, "SAMPLES", 40)
        patch.setattr("orchestra.lab.translation.data.split", _split)
        reproduce(base, SMALL)
    return base


def _split(found: Any, **sizes: int) -> Any:
    """All sentences are alike here, so that none may be left out for being so."""
    counts = [sizes[part] for part in ("train", "tune", "test")]
    assert len(found) >= sum(counts)
    cut = [found[sum(counts[:at]) : sum(counts[: at + 1])] for at in range(3)]
    return Split(train=tuple(cut[0]), tune=tuple(cut[1]), test=tuple(cut[2]))


def test_every_row_is_filled_in_and_written(output: Path) -> None:
    results = json.loads((output / "benchmarks/results/translation.json").read_text())
    assert list(results["rows"]) == list(table.TITLES)
    assert {name for name, row in results["rows"].items() if "num_weights" in row} == TRAINED
    assert {name for name, row in results["rows"].items() if "english" in row} == TRAINED | {"smollm2"}
    assert (output / "benchmarks/results/translation.md").read_text() == table.markdown(results)


def test_rows_that_are_there_are_not_filled_in_again(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (output / "benchmarks/results/translation.json").read_text()
    monkeypatch.setattr(experiment, "fetch", lambda name: None)
    monkeypatch.setattr("orchestra.lab.translation.data.split", _split)
    monkeypatch.setattr(Contest, "_trained", None)
    monkeypatch.setattr(score, "SAMPLES", 40)
    reproduce(output, SMALL)
    assert (output / "benchmarks/results/translation.json").read_text() == before


def test_other_settings_are_rows_of_their_own(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (output / "benchmarks/results/translation.json").read_text()
    monkeypatch.setattr(experiment, "fetch", lambda name: None)
    monkeypatch.setattr("orchestra.lab.translation.data.split", _split)
    monkeypatch.setattr(score, "SAMPLES", 40)
    other = replace(SMALL, shots=2)
    results = reproduce(output, other, rows=["gemma3"], name="translation-other")
    assert list(results["rows"]) == ["gemma3"]
    assert list(reproduce(output, other, rows=["smollm2"], name="translation-other")["rows"]) == ["smollm2", "gemma3"]
    assert (output / "benchmarks/results/translation.json").read_text() == before
    with pytest.raises(TrainError, match=r"'gemma' is no row; rows are smollm2, gemma3, fine-tuned, lora, "):
        reproduce(output, SMALL, rows=["gemma"])


def test_only_fine_tuning_has_all_weights_and_a_rate_of_its_own(output: Path) -> None:
    rows = json.loads((output / "benchmarks/results/translation.json").read_text())["rows"]
    anchor = small_llama(tokenizer.build(), width=32, layers=2, inner=32, seed=0)
    assert rows["fine-tuned"]["num_weights"] == anchor.num_parameters()
    assert rows["fine-tuned"]["rate"] < rows["lora"]["rate"] == rows["composition"]["rate"]
    assert (
        rows["random augment"]["num_weights"]
        == rows["prompt only"]["num_weights"]
        == rows["composition"]["num_weights"]
    )


def test_the_committed_table_is_that_of_its_results() -> None:
    place = Path(__file__).parents[3] / "benchmarks/results"
    assert (place / "translation.md").read_text() == table.markdown(
        json.loads((place / "translation.json").read_text())
    )
