"""What is settled before a weight is loaded."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import orchestra
from orchestra.errors import BundleError, DataError, TrainError
from orchestra.io import merge
from orchestra.train import TrainSpec
from orchestra.train.prepare import identity, prepare
from tests.train.conftest import MAX_LENGTH, Write, write_graph


@pytest.fixture
def spec(pairs: Path, tmp_path: Path) -> TrainSpec:
    return TrainSpec(data=pairs, output=tmp_path / "out")


def changed(spec: TrainSpec, **changes: object) -> TrainSpec:
    fields = {name: getattr(spec, name) for name in TrainSpec.__slots__}
    return TrainSpec(**{**fields, **changes})


def refused(source: object, spec: TrainSpec, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        prepare(source, spec)  # type: ignore[arg-type]


def test_without_names_every_augment_that_is_on_is_trained(graph: Path, spec: TrainSpec) -> None:
    assert prepare(graph, spec).augments == ("kv", "tetum")
    document = json.loads(graph.read_text())
    for model in (document["anchor"], *document["augments"].values()):
        model["model"] = str(graph.parent / model["model"])
    document["augments"]["kv"]["enabled"] = False
    assert prepare(document, spec).augments == ("tetum",)
    assert prepare(document, changed(spec, augments=("kv",))).augments == ("kv",)
    document["augments"]["tetum"]["enabled"] = False
    refused(document, spec, TrainError, "every augment of the graph is off: name those to train, of kv, tetum.")


def test_an_augment_that_is_not_there_is_named(graph: Path, spec: TrainSpec) -> None:
    message = "no augment is called 'kvv'; this graph has kv, tetum."
    refused(graph, changed(spec, augments=("kv", "kvv")), TrainError, message)


def test_training_without_accelerate_says_what_to_install(
    graph: Path, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(graph, spec, TrainError, "training needs accelerate: pip install 'orchestra-lm[train]'.")


def test_an_anchor_without_tokenizer_is_refused(tmp_path: Path, spec: TrainSpec) -> None:
    graph = write_graph(tmp_path)
    for name in ("digits", "kv", "tetum"):
        (tmp_path / name / "tokenizer.json").unlink()
        (tmp_path / name / "tokenizer_config.json").unlink()
    message = f"{tmp_path}/digits: the anchor has no tokenizer, and records are text: add its tokenizer.json."
    refused(graph, spec, TrainError, message)


def test_the_tokenizer_that_the_graph_names_for_its_anchor_is_the_one(tmp_path: Path, spec: TrainSpec) -> None:
    graph = write_graph(tmp_path)
    shutil.copytree(tmp_path / "digits", tmp_path / "words")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "digits" / name).unlink()
    document = json.loads(graph.read_text())
    document["anchor"]["tokenizer"] = "words"
    graph.write_text(json.dumps(document))
    assert prepare(graph, spec).train


def test_a_merge_is_trained_against_without_being_made_first(
    tmp_path: Path, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "_run", None)
    graph = write_graph(tmp_path)
    document = json.loads(graph.read_text())
    recipe = {"merge_method": "linear", "models": [{"model": "digits"}], "parameters": {"weight": 1}}

    def known(**more: Any) -> str:
        document["anchor"]["model"] = {"merge": recipe, **more}
        graph.write_text(json.dumps(document))
        models = identity(prepare(graph, spec), spec, steps=1, global_batch=1)["models"]
        assert models.keys() == {"anchor", "kv", "tetum"}
        return str(models["anchor"])

    assert known() == known() != known(seed=1)


def test_an_output_that_is_a_file_is_refused(graph: Path, spec: TrainSpec) -> None:
    refused(graph, changed(spec, output=spec.data), TrainError, f"output {spec.data} cannot be a folder: File exists.")


def test_a_folder_of_somebody_elses_is_refused_at_once(graph: Path, spec: TrainSpec) -> None:
    (spec.output / "kv").mkdir(parents=True)
    (spec.output / "kv" / "thesis.txt").write_text("mine")
    message = f"{spec.output}/kv: not written: the folder holds something that is not a bundle."
    refused(graph, spec, BundleError, message)


@pytest.mark.parametrize("in_memory", [False, True])
def test_no_record_may_be_longer_than_the_models_read(
    graph: Path, spec: TrainSpec, write: Write, in_memory: bool
) -> None:
    path = write({"text": " ".join("a" * (MAX_LENGTH - 2))}, {"text": " ".join("a" * (MAX_LENGTH - 1))})
    message = (
        f"{path}: line 2: has {MAX_LENGTH + 1} tokens, and max_length is {MAX_LENGTH}: shorten it, or raise the limit."
    )
    refused(orchestra.load(graph) if in_memory else graph, changed(spec, max_length=99), DataError, message)


def test_max_length_may_be_shorter_than_that(graph: Path, spec: TrainSpec) -> None:
    with pytest.raises(DataError, match="and max_length is 5: "):
        prepare(graph, changed(spec, max_length=5))


def prompt_only(graph: Path, *names: str) -> dict[str, Any]:
    """The document with these augments reading the prompt only."""
    document: dict[str, Any] = json.loads(graph.read_text())
    for model in (document["anchor"], *document["augments"].values()):
        model["model"] = str(graph.parent / model["model"])
    for name in names:
        document["augments"][name]["context"] = "prompt"
    return document


def test_records_need_a_prompt_where_a_trained_augment_reads_nothing_else(
    graph: Path, spec: TrainSpec, write: Write
) -> None:
    path = write({"text": "a b"}, name="eval.jsonl")
    document = prompt_only(graph, "kv")
    message = f"{path}: line 1: has no prompt, and kv reads the prompt only: give it as {{'prompt', 'completion'}}."
    refused(document, changed(spec, eval_data=path), DataError, message)
    assert prepare(document, changed(spec, eval_data=path, augments=("tetum",))).augments == ("tetum",)


def test_a_training_with_prompts_alone_is_another_training(graph: Path, spec: TrainSpec) -> None:
    one, two = (
        identity(prepare(prompt_only(graph, *names), spec), spec, steps=3, global_batch=8) for names in ((), ("kv",))
    )
    assert two == {**one, "prompt_only": ["kv"]}
    other = changed(spec, augments=("tetum",))
    assert "prompt_only" not in identity(prepare(prompt_only(graph, "kv"), other), other, steps=3, global_batch=8)


def test_the_evaluation_data_is_checked_too(graph: Path, spec: TrainSpec, write: Write) -> None:
    path = write("{", name="eval.jsonl")
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: line 1: is not JSON"):
        prepare(graph, changed(spec, eval_data=path))


def test_no_weight_is_needed(graph: Path, spec: TrainSpec, tmp_path: Path) -> None:
    shutil.copytree(graph.parent, tmp_path / "graph")
    for path in (tmp_path / "graph").glob("*/model.safetensors"):
        content = path.read_bytes()
        header = 8 + int.from_bytes(content[:8], "little")
        path.write_bytes(content[:header] + bytes(len(content) - header))
    assert len(prepare(tmp_path / "graph" / "graph.json", spec).train) == 17
