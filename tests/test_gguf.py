"""GGUF files as models of a graph, from the document to the logits."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import orchestra
from orchestra import BundleError, GraphError
from orchestra.io.conversion import converted
from orchestra.io.gguf_facts import CONVERSION
from tests import folders, ggufs, tiny

PAIRS = {"pairs": tiny.PAIRS}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An anchor and an augment as GGUF files."""
    ggufs.write(tmp_path / "anchor.gguf", ggufs.llama())
    ggufs.write(tmp_path / "kv.gguf", ggufs.llama(seed=1))
    return tmp_path


def graph(base: Path, **augments: Any) -> Path:
    """A graph of the files `anchor.gguf` and, for each augment, its name's."""
    content = folders.document(**{name: {"model": f"{name}.gguf", **fields} for name, fields in augments.items()})
    content["anchor"]["model"] = "anchor.gguf"
    return folders.graph(base / "graph.json", content)


def bundle(base: Path) -> Path:
    composed = tiny.loud(orchestra.load(graph(base, kv={"bridges": PAIRS})))
    composed.save_stack("kv", base / "bundle")
    return base / "bundle"


def test_a_graph_of_gguf_files_becomes_a_model_with_its_tokenizer(base: Path) -> None:
    composed = orchestra.load(graph(base, kv={"bridges": PAIRS}))
    ids = tiny.tokens()
    with torch.no_grad():
        assert torch.equal(composed(ids).logits, ggufs.llama()(ids).logits)
    assert composed.tokenizer is not None
    assert composed.tokenizer("an a")["input_ids"] == [1, 94, 81, 94]


def test_a_file_named_twice_is_in_memory_once(base: Path) -> None:
    composed = orchestra.load(graph(base, own={"model": "./anchor.gguf", "bridges": PAIRS}))
    assert composed.augment("own") is composed.anchor


def test_a_graph_of_gguf_files_is_checked_without_torch_and_without_the_package(base: Path) -> None:
    script = (
        "import sys; sys.modules['gguf'] = None; from orchestra import paper; from pathlib import Path; "
        f"print(paper.plan(Path({str(graph(base, kv={}))!r})).costs[0].weight_bytes); "
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    weight_bytes = 4 * sum(weight.numel() for weight in ggufs.llama().state_dict().values())
    assert done.stdout.splitlines() == [str(weight_bytes), "[]"]


def test_damaged_and_missing_files_are_listed_by_field_before_a_weight_is_read(base: Path) -> None:
    (base / "kv.gguf").write_bytes((base / "kv.gguf").read_bytes()[:500])
    with pytest.raises(GraphError) as caught:
        orchestra.load(graph(base, kv={}, lost={}, **{"folder": {"model": "f.gguf"}}))
    assert str(caught.value).splitlines() == [
        f"augments.folder.model is 'f.gguf', but there is no file {base}/f.gguf.",
        f"augments.kv.model: {base}/kv.gguf: is not a whole GGUF file; fetch or save it again.",
        f"augments.lost.model is 'lost.gguf', but there is no file {base}/lost.gguf.",
    ]


def test_a_file_and_a_folder_are_not_taken_for_one_another(base: Path) -> None:
    (base / "d.gguf").mkdir()
    (base / "f").write_text("")
    with pytest.raises(GraphError) as caught:
        orchestra.load(graph(base, d={}, f={"model": "./f"}))
    assert str(caught.value).splitlines() == [
        f"augments.d.model is 'd.gguf', but there is no file {base}/d.gguf.",
        f"augments.f.model is './f', but there is no folder {base}/f.",
    ]


def test_a_bundle_fits_whoever_converts_the_same_file(
    base: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = bundle(base)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("ORCHESTRA_CACHE", str(tmp_path_factory.mktemp("other cache")))
    shutil.copy(base / "anchor.gguf", elsewhere)
    shutil.copy(base / "kv.gguf", elsewhere / "renamed.gguf")
    composed = orchestra.load(graph(elsewhere, renamed={"bridges": str(trained)}))
    with torch.no_grad():
        assert not torch.equal(composed(tiny.tokens()).logits, composed.anchor(tiny.tokens()).logits)
    assert f"| conversion | {CONVERSION} | {CONVERSION} |" in (trained / "README.md").read_text()


def test_a_bundle_refuses_another_file_and_another_conversion(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle(base)
    ggufs.write(base / "kv.gguf", ggufs.llama(seed=2))
    with pytest.raises(BundleError, match=r"does not fit: the augment's weights are \w{12} \(kv.gguf\), and it was"):
        orchestra.load(graph(base, kv={"bridges": "bundle"}))
    ggufs.write(base / "kv.gguf", ggufs.llama(seed=1))
    monkeypatch.setattr("orchestra.io.facts.CONVERSION", "gguf@2")
    with pytest.raises(BundleError) as caught:
        orchestra.load(graph(base, kv={"bridges": "bundle"}))
    told = f"{base}/bundle: does not fit: the {{}}'s conversion is gguf@2, and it was trained with gguf@1."
    assert str(caught.value).splitlines() == [
        f"augments.kv.bridges: {told.format(role)}" for role in ("anchor", "augment")
    ]


def test_a_bundle_of_a_file_refuses_the_folder_that_it_becomes(base: Path) -> None:
    bundle(base)
    folder = converted(base / "kv.gguf")
    document = folders.document(kv={"model": str(folder), "bridges": "bundle"})
    document["anchor"]["model"] = str(converted(base / "anchor.gguf"))
    with pytest.raises(BundleError, match="the anchor's conversion is none, but safetensors, and it was trained with"):
        orchestra.load(folders.graph(base / "graph.json", document))
