"""Bundles that were trained apart: whether they join in one graph, and every reason why not."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import orchestra
from orchestra.compat import ASPECTS, Compatibility, compat
from orchestra.errors import SpecError
from orchestra.io.checkpoint import file_sha256
from tests import folders, tiny

KV, FAR = "kv-bundle/bridge_config.json", "far-bundle/bridge_config.json"
WEIGHTS = "kv-bundle/bridge_model.safetensors"


def trained(base: Path, name: str) -> None:
    """Train the bundle of one augment for a few steps, with nothing else there."""
    content = folders.document(**{name: {"bridges": {"pairs": tiny.PAIRS}}})
    composed: Any = orchestra.load(folders.graph(base / "alone.json", content))
    optimizer = torch.optim.SGD([weight for _, weight in composed.trainable()], lr=1.0)
    ids = tiny.tokens()
    for _ in range(3):
        composed(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    composed.save_stack(name, base / f"{name}-bundle")


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundles of two people, who had the same anchor, and a graph that names both."""
    joined = tmp_path_factory.mktemp("joined")
    for name, architecture in (("kv", "qwen3"), ("far", "gpt2")):
        own = tmp_path_factory.mktemp(name)
        folders.checkpoint(own / "anchor", "llama")
        folders.checkpoint(own / name, architecture, seed=1)
        trained(own, name)
        shutil.copytree(own, joined, dirs_exist_ok=True)
    (joined / "alone.json").unlink()
    folders.graph(joined / "graph.json", document())
    return joined


def document(**fields: Any) -> dict[str, Any]:
    return folders.document(kv={"bridges": "kv-bundle", **fields}, far={"bridges": "far-bundle"})


@pytest.fixture
def joined(apart: Path, tmp_path: Path) -> Path:
    """A copy of both, to be changed."""
    return shutil.copytree(apart, tmp_path / "joined")


def held(base: Path) -> Compatibility:
    return compat(base / "graph.json")


def test_bundles_trained_apart_join_load_and_generate(apart: Path) -> None:
    found = held(apart)
    assert found.reasons() == []
    assert [fit.stack for fit in found.bundles] == ["far", "kv"]
    composed = orchestra.load(apart / "graph.json")
    both, alone = composed(tiny.tokens()).logits, []
    for name in ("kv", "far"):
        with composed.only(name):
            alone.append(composed(tiny.tokens()).logits)
    assert not any(torch.equal(both, one) for one in alone)
    assert tiny.generate(composed, tiny.tokens()).shape == (2, tiny.LENGTH + 5)


def test_a_bundle_says_what_it_was_trained_with(apart: Path) -> None:
    (_, kv) = held(apart).bundles
    anchor, own = (file_sha256(apart / name / "model.safetensors")[:12] for name in ("anchor", "kv"))
    words = json.loads((apart / KV).read_text())["anchor"]["tokenizer"][:12]
    assert kv.trained == {
        "anchor": f"anchor {anchor}",
        "augment": f"kv {own}",
        "sites": "anchor_embedding_from_0, anchor_0_from_1, anchor_1_from_0",
        "dtype": "F32",
        "tokenizer": f"{words} -> {words}",
        "template": "none, held",
        "alignment": "1",
        "file": file_sha256(apart / WEIGHTS)[:12],
    }
    assert (kv.bundle, dict(kv.misfits), kv.unknown) == (str(apart / "kv-bundle"), {}, ())


def side(role: str, **changes: Any) -> Callable[[Path], object]:
    """What the bundle of kv remembers of a model, changed."""

    def change(base: Path) -> None:
        config = json.loads((base / KV).read_text())
        folders.edit_json(base / KV, **{role: {**config[role], **changes}})

    return change


def sites(index: int, **changes: Any) -> Callable[[Path], object]:
    def change(base: Path) -> None:
        found = json.loads((base / KV).read_text())["sites"]
        found[index] |= changes
        folders.edit_json(base / KV, sites=found)

    return change


def whole_numbers(base: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["anchor_0_from_1.gate"] = torch.ones((), dtype=torch.int32)

    folders.edit_weights(base / WEIGHTS, change)
    folders.edit_json(base / KV, weights_sha256=file_sha256(base / WEIGHTS))


def one_tensor_less(base: Path) -> None:
    folders.edit_weights(base / WEIGHTS, lambda tensors: tensors.pop("anchor_0_from_1.gate"))


def other_weights(name: str, architecture: str) -> Callable[[Path], object]:
    return lambda base: folders.checkpoint(base / name, architecture, seed=7)


AHEAD = {"tail": "provisional", "template": {}}
MISFITS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "an anchor of other weights": (
        side("anchor", fingerprint="f" * 64),
        "anchor",
        "the anchor's weights are {anchor} (anchor), and it was trained with ffffffffffff (anchor)",
    ),
    "an anchor of another depth": (
        side("anchor", num_layers=7),
        "anchor",
        "the anchor's num_layers is 3, and it was trained with 7",
    ),
    "an anchor that was converted": (
        side("anchor", conversion="gguf@1"),
        "anchor",
        "the anchor's conversion is none, but safetensors, and it was trained with gguf@1",
    ),
    "an augment of other weights": (
        side("augment", fingerprint="f" * 64),
        "augment",
        "the augment's weights are {kv} (kv), and it was trained with ffffffffffff (kv)",
    ),
    "a site past the end": (
        sites(0, augment_layer=9),
        "sites",
        "site.0.augment_layer is 9, but kv has 5 layers, numbered 0 to 4",
    ),
    "heads that do not divide": (
        sites(0, num_heads=3),
        "sites",
        "the number of heads is 3, which does not divide the anchor's width 28",
    ),
    "tensors that are no floats": (whole_numbers, "dtype", "the tensor anchor_0_from_1.gate holds I32"),
    "another tokenizer of the anchor": (
        side("anchor", tokenizer="f" * 64),
        "tokenizer",
        "the anchor's tokenizer is {words}, and it was trained with ffffffffffff",
    ),
    "a template": (
        side("augment", template={"<s>": ""}),
        "template",
        'the augment\'s template is none, and it was trained with {{"<s>": ""}}',
    ),
    "a tail": (
        side("augment", tail="provisional"),
        "template",
        "the augment's tail is held, and it was trained with provisional",
    ),
    "an older alignment": (
        lambda base: folders.edit_json(base / KV, alignment_version=0),
        "alignment",
        "its alignment version is 0, and this Orchestra's is 1",
    ),
    "weights of another training": (
        lambda base: folders.edit_json(base / KV, weights_sha256="0" * 64),
        "file",
        "bridge_model.safetensors is not the file that bridge_config.json names by its SHA-256",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_each_kind_of_misfit_is_named_for_its_bundle_alone(joined: Path, name: str) -> None:
    change, aspect, line = MISFITS[name]
    digests = {model: file_sha256(joined / model / "model.safetensors")[:12] for model in ("anchor", "kv")}
    words = json.loads((joined / KV).read_text())["anchor"]["tokenizer"][:12]
    change(joined)
    told = line.format(**digests, words=words)
    found = held(joined)
    far, kv = found.bundles
    assert {of: lines for of, lines in kv.misfits.items() if lines} == {aspect: (told,)}
    assert found.reasons() == [f"augments.kv.bridges: {told}."]
    assert far.misfits == {}


def test_a_missing_tensor_is_told_by_the_numbers(joined: Path) -> None:
    one_tensor_less(joined)
    (count, _) = held(joined).bundles[1].misfits["file"]
    assert count == "bridge_model.safetensors holds 11,402 numbers, and its sites need 11,403"


def test_all_reasons_of_all_bundles_come_at_once(joined: Path) -> None:
    other_weights("anchor", "llama")(joined)
    folders.edit_json(joined / FAR, alignment_version=0)
    sites(0, anchor_layer=5)(joined)
    was, now = (json.loads((joined / KV).read_text())["anchor"]["fingerprint"], None)
    now = file_sha256(joined / "anchor" / "model.safetensors")
    anchor = f"the anchor's weights are {now[:12]} (anchor), and it was trained with {was[:12]} (anchor)."
    assert held(joined).reasons() == [
        f"augments.far.bridges: {anchor}",
        "augments.far.bridges: its alignment version is 0, and this Orchestra's is 1.",
        f"augments.kv.bridges: {anchor}",
        "augments.kv.bridges: site.0.anchor_layer is 5, but the anchor has 3 layers, numbered 0 to 2.",
    ]


def test_what_the_graph_says_of_the_stream_counts(joined: Path) -> None:
    folders.graph(joined / "graph.json", document(**AHEAD))
    assert held(joined).reasons() == [
        "augments.kv.bridges: the augment's template is {}, and it was trained with none.",
        "augments.kv.bridges: the augment's tail is provisional, and it was trained with held.",
    ]


def test_an_anchor_that_is_not_here_leaves_the_bundles_to_be_held_against_each_other(joined: Path) -> None:
    shutil.rmtree(joined / "anchor")
    content = document()
    content["anchor"]["model"] = "./anchor"
    folders.graph(joined / "graph.json", content)
    missing = f"anchor.model is './anchor', but there is no folder {joined}/anchor."
    found = held(joined)
    assert found.reasons() == [missing]
    assert [fit.unknown for fit in found.bundles] == [("anchor",), ("anchor",)]
    was = json.loads((joined / FAR).read_text())["anchor"]["fingerprint"][:12]
    side("anchor", fingerprint="f" * 64)(joined)
    assert held(joined).reasons() == [
        missing,
        "augments.kv.bridges: it was trained with an anchor of the weights ffffffffffff (anchor), "
        f"and the bundle of far with {was} (anchor).",
    ]


def test_an_augment_that_is_not_here_is_said_not_to_be_known(joined: Path) -> None:
    shutil.rmtree(joined / "kv")
    found = held(joined)
    assert [fit.unknown for fit in found.bundles] == [(), ("augment",)]
    assert found.bundles[1].misfits == {}
    assert len(found.reasons()) == 1


def test_fresh_bridges_fit_anything_and_their_own_problems_are_told(joined: Path) -> None:
    content = document()
    content["augments"]["kv"]["bridges"] = {"pairs": [tiny.pair(9, 0)]}
    folders.graph(joined / "graph.json", content)
    found = held(joined)
    assert (found.fresh, [fit.stack for fit in found.bundles]) == (("kv",), ["far"])
    assert found.reasons() == ["augments.kv.bridges.pairs.0.augment_layer is 9, but kv has 5 layers, numbered 0 to 4."]


def test_a_bundle_that_cannot_be_read_is_a_problem_beside_the_others(joined: Path) -> None:
    (joined / WEIGHTS).unlink()
    folders.edit_json(joined / FAR, alignment_version=0)
    assert held(joined).reasons() == [
        f"augments.kv.bridges: {joined}/kv-bundle: holds no bridge_model.safetensors.",
        "augments.far.bridges: its alignment version is 0, and this Orchestra's is 1.",
    ]


def test_a_document_that_is_no_graph_is_refused_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        compat(tmp_path / "none.json")


def test_it_needs_no_torch(apart: Path) -> None:
    script = (
        f"import sys; from orchestra.compat import compat; print(compat({str(apart / 'graph.json')!r}).reasons()); "
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_every_aspect_is_told_by_every_bundle(apart: Path) -> None:
    assert all(tuple(fit.trained) == tuple(ASPECTS) for fit in held(apart).bundles)
