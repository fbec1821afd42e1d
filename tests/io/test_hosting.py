import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestra import spec as specs
from orchestra.errors import HubError
from orchestra.graph import Graph, Origin
from orchestra.io.hosting import bundle_parcel, declared, graph_parcel, restated, unhostable
from orchestra.paper import plan
from tests import folders, tiny

ANCHOR, KV = Origin(repo="acme/anchor", commit="a" * 40), Origin(repo="acme/kv", commit="b" * 40)


def document(parts: Path, **kv: Any) -> dict[str, Any]:
    content = folders.document(kv={"model": str(parts / "kv"), "bridges": str(parts / "kv-bundle"), **kv})
    return {**content, "anchor": {"model": str(parts / "anchor")}}


def graph(content: dict[str, Any], **origins: Origin) -> Graph:
    """The graph of a document, with these models taken to come from the Hub."""
    found = plan(content).graph

    def from_hub(node: Any) -> Any:
        return replace(node, facts=replace(node.facts, origin=origins.get(node.name)))

    return replace(found, anchor=from_hub(found.anchor), augments=tuple(map(from_hub, found.augments)))


def hosted(content: dict[str, Any], found: Graph) -> dict[str, Any]:
    """The document that is uploaded."""
    parcel = graph_parcel(declared(specs.parse(content)), found)
    told: dict[str, Any] = json.loads(parcel.texts("acme/duo", {})["graph.json"])
    assert specs.parse(told)
    return told


def test_all_that_keeps_a_graph_from_being_hosted_is_listed_at_once(parts: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(parts / "kv-bundle", bundle)
    folders.flip(bundle / "bridge_model.safetensors", -1)
    content = document(parts, bridges=str(bundle))
    content["augments"]["other"] = content["augments"]["kv"] | {"bridges": {}}
    with pytest.raises(HubError) as caught:
        graph_parcel(content, graph(content, other=KV))
    upload = "a graph on the Hub names models on the Hub: upload it, and name its id."
    assert str(caught.value).splitlines() == [
        f"anchor.model is the folder {parts}/anchor; {upload}",
        f"augments.kv.model is the folder {parts}/kv; {upload}",
        f"augments.kv.bridges: {bundle}/bridge_model.safetensors is not the file that bridge_config.json names by its "
        "SHA-256.",
    ]


def test_a_model_from_memory_and_a_tokenizer_s_file_cannot_be_hosted(parts: Path, tmp_path: Path) -> None:
    found = graph(document(parts), anchor=ANCHOR)
    (kv,) = found.augments
    (tmp_path / "kv.gguf").touch()
    kv = replace(kv, tokenizer=str(tmp_path / "kv.gguf"), facts=replace(kv.facts, source="<Llama in memory>"))
    assert list(unhostable(replace(found, augments=(kv,)))) == [
        "augments.kv.model is in memory only; a graph on the Hub names models on the Hub: upload it, and name its id.",
        f"augments.kv.tokenizer is the file {tmp_path}/kv.gguf; only a folder can be uploaded with the graph.",
    ]


def test_what_holds_on_this_machine_only_is_left_out(parts: Path) -> None:
    content = document(parts, device="cpu", dtype="float32", enabled=False)
    content |= {"$schema": "graph.schema.json"}
    content["anchor"]["device"] = "cpu"
    told = hosted(content, graph(content, anchor=ANCHOR, kv=KV))
    assert told == {
        "format": "orchestra/graph@1",
        "anchor": {"model": "acme/anchor", "revision": "a" * 40},
        "augments": {
            "kv": {
                "model": "acme/kv",
                "revision": "b" * 40,
                "dtype": "float32",
                "enabled": False,
                "bridges": "./bridges/kv",
            }
        },
    }
    assert str(parts) not in json.dumps(told)


def test_a_bundle_on_the_hub_stays_there_and_a_fresh_stack_stays_a_recipe(parts: Path) -> None:
    content = document(parts)
    content["augments"]["fresh"] = {"model": str(parts / "kv"), "bridges": {"every": 1}}
    found = graph(content, anchor=ANCHOR, kv=KV, fresh=KV)
    there = Origin(repo="acme/x", commit="c" * 40)
    found = replace(found, stacks=tuple(replace(each, origin=there if each.bundle else None) for each in found.stacks))
    told = hosted(content, found)
    assert told["augments"]["kv"]["bridges"] == "acme/x"
    assert told["augments"]["kv"]["bridges_revision"] == "c" * 40
    assert told["augments"]["fresh"]["bridges"] == {"every": 1}


def test_a_tokenizer_of_its_own_goes_with_the_graph(parts: Path, tmp_path: Path) -> None:
    folders.tokenizer(tmp_path / "words")
    (tmp_path / "words/notes.md").touch()
    content = document(parts, tokenizer=str(tmp_path / "words"))
    found = graph(content, anchor=ANCHOR, kv=KV)
    assert hosted(content, found)["augments"]["kv"]["tokenizer"] == "./tokenizers/kv"
    files = graph_parcel(declared(specs.parse(content)), found).files
    assert sorted(path for path in files if path.startswith("tokenizers/")) == [
        "tokenizers/kv/tokenizer.json",
        "tokenizers/kv/tokenizer_config.json",
    ]


def test_a_composition_s_document_says_what_its_own_document_said(parts: Path) -> None:
    content = document(parts, dtype="float32", enabled=False, context="prompt", template={"<s>": "x"})
    content["description"] = "Two."
    found = graph(content, anchor=ANCHOR, kv=KV)
    told = json.loads(graph_parcel(restated(found), found).texts("acme/duo", {})["graph.json"])
    assert told == hosted(content, found)


def test_a_damaged_bundle_is_not_packed(parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts / "kv-bundle", tmp_path / "b")
    folders.flip(tmp_path / "b/bridge_model.safetensors", -1)
    message = f"{tmp_path}/b/bridge_model.safetensors is not the file that bridge_config.json names by its SHA-256."
    with pytest.raises(HubError, match=f"^{re.escape(message)}$"):
        bundle_parcel(tmp_path / "b")


def chain(parts: Path, into: dict[str, Any] | list[str]) -> dict[str, Any]:
    """kv -> middle -> anchor; the one in the middle is the anchor's checkpoint, so that a bundle for that fits it."""
    content = document(parts, into=into)
    del content["augments"]["kv"]["bridges"]
    content["augments"]["middle"] = {"model": str(parts / "anchor"), "bridges": {"pairs": tiny.PAIRS}}
    return content


def test_whom_an_augment_feeds_is_hosted_with_its_bundle(parts: Path) -> None:
    content = chain(parts, {"middle": str(parts / "kv-bundle")})
    found = graph(content, anchor=ANCHOR, kv=KV, middle=ANCHOR)
    told = hosted(content, found)["augments"]["kv"]
    assert (told["into"], told["bridges"]) == (["middle"], "./bridges/kv")
    assert restated(found)["augments"]["kv"]["into"] == ["middle"]
    assert "into" not in restated(found)["augments"]["middle"]
    recipe = {"pairs": list(tiny.PAIRS)}
    content = chain(parts, {"middle": recipe})
    told = hosted(content, graph(content, anchor=ANCHOR, kv=KV, middle=ANCHOR))["augments"]["kv"]
    assert (told["into"], told["bridges"]) == (["middle"], recipe)


def test_an_augment_that_feeds_several_models_has_a_bundle_for_each(parts: Path) -> None:
    here, recipe = str(parts / "kv-bundle"), {"pairs": list(tiny.PAIRS)}
    origins = {"anchor": ANCHOR, "kv": KV, "middle": ANCHOR}
    content = chain(parts, {"middle": here, "anchor": here})
    found = graph(content, **origins)
    told = hosted(content, found)["augments"]["kv"]
    assert told == {
        "model": "acme/kv",
        "revision": "b" * 40,
        "into": {"middle": "./bridges/kv/middle", "anchor": "./bridges/kv/anchor"},
    }
    parcel = graph_parcel(restated(found), replace(found, stacks=tuple(replace(s, bundle=here) for s in found.stacks)))
    assert json.loads(parcel.texts("acme/duo", {})["graph.json"])["augments"]["kv"] == told
    assert sorted(path for path in parcel.texts("acme/duo", {}) if path != "graph.json") == [
        "README.md",
        *(f"bridges/{place}/README.md" for place in ("kv/anchor", "kv/middle", "middle")),
    ]
    assert parcel.files["bridges/kv/middle/bridge_model.safetensors"] == Path(here) / "bridge_model.safetensors"
    there = Origin(repo="acme/x", commit="c" * 40)
    stacks = tuple(replace(each, origin=there) if each.name == "kv" else each for each in found.stacks)
    told = hosted(content, replace(found, stacks=stacks))["augments"]["kv"]
    assert told["into"] == {"middle": "./bridges/kv/middle", "anchor": "acme/x"}
    assert told["bridges_revision"] == {"anchor": "c" * 40}
    content = chain(parts, {"middle": here, "anchor": recipe})
    assert hosted(content, graph(content, **origins))["augments"]["kv"]["into"] == {
        "middle": "./bridges/kv/middle",
        "anchor": recipe,
    }
    content = chain(parts, ["middle", "anchor"]) | {"description": "Fresh."}
    content["augments"]["kv"]["bridges"] = recipe
    told = hosted(content, graph(content, **origins))["augments"]["kv"]
    assert (told["into"], told["bridges"]) == (["middle", "anchor"], recipe)
