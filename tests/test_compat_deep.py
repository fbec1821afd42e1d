"""Bundles into augments, and of augments that are fed: held against the graph as those into the anchor are."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import orchestra
from orchestra import BundleError
from orchestra.compat import compat
from orchestra.io.bundle import read_config
from tests import folders, tiny

FRESH = {"pairs": tiny.PAIRS}
GRAPHS: dict[str, dict[str, Any]] = {
    "chain": {"kv": {"into": {"code": "kv"}}, "code": {"bridges": "code"}},
    "beside": {"kv": {"into": {"code": "kv/code", "anchor": "kv/anchor"}}, "code": {"bridges": "code"}},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of three models, the second of which reads a stream, and the bundles of each graph."""
    path = tmp_path_factory.mktemp("models")
    for seed, (name, architecture) in enumerate({"anchor": "llama", "kv": "qwen3", "code": "gpt2"}.items()):
        folders.checkpoint(path / name, architecture, seed=seed)
        folders.letters(path / name, folders.LETTERS[::-1] if name == "code" else folders.LETTERS)
    for name, augments in GRAPHS.items():
        fresh = {
            each: {"into": [*fields.get("into", ["anchor"])], "bridges": FRESH} for each, fields in augments.items()
        }
        composed = orchestra.load(folders.graph(path / "fresh.json", folders.document(**fresh)))
        tiny.loud(composed).save_bridges(path / "bundles" / name)
    return path


def named(base: Path, name: str, **changes: Any) -> Path:
    """A graph of bundles; relative names start in the folder of its bundles."""
    content = folders.document(**{each: {**fields, **changes.get(each, {})} for each, fields in GRAPHS[name].items()})
    content = copy.deepcopy(content)
    for fields in content["augments"].values():
        for where in (fields, fields.get("into", {})):
            for field, value in where.items():
                if field in ("bridges", "code", "anchor") and isinstance(value, str):
                    where[field] = str(base / "bundles" / name / value)
    return folders.graph(base / "graph.json", content)


@pytest.mark.parametrize("name", GRAPHS)
def test_what_is_loaded_fits(base: Path, name: str) -> None:
    graph = named(base, name)
    found = compat(graph)
    assert (found.reasons(), found.fresh) == ([], ())
    loaded = orchestra.load(graph).plan.graph.stacks
    assert sorted(fit.stack for fit in found.bundles) == sorted(each.name for each in loaded)
    fed = {fit.stack: fit.trained["augment"].partition(", fed by ")[2] for fit in found.bundles}
    kv = read_config(base / "bundles" / name / ("kv" if name == "chain" else "kv/code"))
    assert {stack: digest for stack, digest in fed.items() if digest} == {"code": kv.weights_sha256[:12]}


def refused(graph: Path) -> list[str]:
    """What `load` says, without the names of folders."""
    with pytest.raises(BundleError) as caught:
        orchestra.load(graph)
    lines = (line.partition(": does not fit: ") for line in str(caught.value).splitlines())
    return [f"{first.rpartition(': ')[0]}: {last}" for first, _, last in lines]


def test_each_bundle_is_told_of_by_its_field_and_as_load_tells_it(base: Path, tmp_path: Path) -> None:
    other = {"code": shutil.copytree(base / "bundles/beside/kv/code", tmp_path / "kv")}
    composed = orchestra.load(named(base, "beside"))
    with torch.no_grad():
        composed.stack("kv", "code").bridges()[0].gate.add_(1)
    composed.save_stack("kv", tmp_path / "kv", into="code")
    graph = named(base, "beside", kv={"into": {**GRAPHS["beside"]["kv"]["into"], "code": str(other["code"])}})
    reasons = compat(graph).reasons()
    assert reasons == refused(graph)
    assert len(reasons) == 1
    assert reasons[0].startswith("augments.code.bridges: the augment is fed by ")
    graph = named(base, "beside", kv={"into": {"code": FRESH, "anchor": "kv/anchor"}})
    reasons = compat(graph).reasons()
    assert reasons == refused(graph)
    assert reasons[0].startswith("augments.code.bridges: the augment is fed by nobody, and it was trained when")
    assert compat(graph).fresh == ("kv>code",)
    graph = named(base, "beside", kv={"tail": "provisional"})
    assert compat(graph).reasons() == []  # it reads the anchor's ids, and holds nothing back


def test_a_fed_augment_is_the_anchor_of_the_bundles_that_feed_it(base: Path) -> None:
    graph = named(base, "chain", code={"model": "kv"})
    reasons = compat(graph).reasons()
    assert {line.partition(": ")[0] for line in reasons} == {"augments.code.bridges", "augments.kv.into.code"}
    assert "augments.kv.into.code: the anchor's model_type is qwen3, and it was trained with gpt2." in reasons
    swapped = {"code": "kv/anchor", "anchor": "kv/code"}
    graph = named(base, "beside", kv={"into": swapped})
    fits = {fit.stack: fit for fit in compat(graph).bundles}
    assert fits["kv"].misfits["anchor"][0] == "the anchor's model_type is llama, and it was trained with gpt2"
    assert fits["kv>code"].misfits["anchor"][0] == "the anchor's model_type is gpt2, and it was trained with llama"


def test_a_bridge_into_a_layer_that_never_runs_is_a_misfit_of_its_sites(base: Path) -> None:
    low = {"pairs": [tiny.pair(0, 0)]}
    found = {fit.stack: fit for fit in compat(named(base, "chain", code={"bridges": low})).bundles}
    assert found["kv>code"].misfits == {
        "sites": (
            "site.2.anchor_layer is 1, but code is read at its layer 0 at most, and what lies above is never run",
        )
    }


def test_a_feeder_whose_bundle_cannot_be_read_leaves_open_what_it_feeds(base: Path) -> None:
    graph = named(base, "chain", kv={"into": {"code": "nowhere"}})
    (reason,) = compat(graph).reasons()
    assert reason.startswith("augments.kv.into.code is ")


def test_the_text_that_a_stream_is_of_is_held_against_the_bundle_s(base: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(base / "bundles/chain/kv", tmp_path / "kv")
    config = json.loads((bundle / "bridge_config.json").read_text())
    folders.edit_json(bundle / "bridge_config.json", anchor={**config["anchor"], "text": "f" * 64})
    graph = named(base, "chain", kv={"into": {"code": str(bundle)}})
    (reason,) = compat(graph).reasons()
    assert reason.startswith("augments.kv.into.code: the tokenizer of the anchor's text is ")
    assert [reason] == refused(graph)


def test_bundles_into_a_model_that_is_not_here_are_held_against_each_other(base: Path) -> None:
    found = compat(named(base, "beside", code={"model": "./lost"}))
    assert {fit.stack: fit.unknown for fit in found.bundles} == {
        "code": ("augment",),
        "kv": (),
        "kv>code": ("anchor",),
    }
    assert len(found.reasons()) == 1
