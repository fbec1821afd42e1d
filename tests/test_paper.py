"""From a file to a plan, without a weight."""

import json
from pathlib import Path

import pytest

from orchestra import paper
from orchestra.errors import GraphError, SpecError
from tests.papers import DIGITS, KV, document, graph_file


def test_a_graph_file_is_planned_from_the_folders_beside_it(tmp_path: Path) -> None:
    planned = paper.plan(graph_file(tmp_path))
    assert str(planned) == "anchor 4 <- kv 2   (14 -> 22, 11 heads)"
    assert planned.graph.anchor.facts.source == str(tmp_path / "digits")
    assert planned.graph.anchor.facts.weight_bytes == 12


def test_a_path_may_be_text(tmp_path: Path) -> None:
    path = graph_file(tmp_path)
    assert paper.plan(str(path)) == paper.plan(path)


def test_folders_of_a_document_from_memory_start_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = graph_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert paper.plan(document()) == paper.plan(path)


def test_a_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = graph_file(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paper.plan("~/graph.json") == paper.plan(path)


def test_models_in_memory_are_taken_in_place_of_folders() -> None:
    planned = paper.plan(document(), known={"anchor": DIGITS, "kv": KV})
    assert planned.graph.anchor.facts is DIGITS


def test_a_model_in_memory_that_the_graph_does_not_name_is_refused() -> None:
    known = {"anchor": DIGITS, "vk": KV}
    with pytest.raises(GraphError, match=r"^models has 'vk', which the graph does not name; it names anchor, kv\.$"):
        paper.plan(document(), known=known)


def test_a_tokenizer_in_memory_counts_for_its_model_and_one_that_the_graph_does_not_name_is_refused() -> None:
    known = {"anchor": DIGITS, "kv": KV}
    planned = paper.plan(document(), known=known, tokenizers={"anchor": "a" * 64, "kv": "b" * 64})
    assert [node.reads for node in planned.graph.augments] == ["stream"]
    message = r"^tokenizers has 'vk', which the graph does not name; it names anchor, kv\.$"
    with pytest.raises(GraphError, match=message):
        paper.plan(document(), known=known, tokenizers={"vk": None})


def test_a_missing_folder_and_a_hub_id_are_refused_by_field_together(tmp_path: Path) -> None:
    path = graph_file(tmp_path, kv={"model": "../lost/deep/kv"}, tetum={"model": "acme/tetum"}, bad={"bridges": "a/b"})
    content = json.loads(path.read_text())
    content["augments"]["bad"]["model"] = "kv"
    path.write_text(json.dumps(content))
    with pytest.raises(GraphError) as caught:
        paper.plan(path)
    assert str(caught.value).splitlines() == [
        f"augments.kv.model is '../lost/deep/kv', but there is no folder {tmp_path.parent}/lost/deep/kv.",
        "augments.tetum.model is 'acme/tetum': there is no such folder, and the Hub's cache holds no acme/tetum; "
        "load and `orchestra check --remote` fetch it.",
        "augments.bad.bridges is 'a/b': there is no such folder, and the Hub's cache holds no a/b; "
        "load and `orchestra check --remote` fetch it.",
    ]


def test_a_document_that_is_none_is_refused_before_folders_are_read(tmp_path: Path) -> None:
    path = graph_file(tmp_path, kv={"model": "lost", "gate": 1})
    with pytest.raises(SpecError) as caught:
        paper.plan(path)
    assert str(caught.value).startswith(f"{path}: augments.kv.gate is an unknown field;")
