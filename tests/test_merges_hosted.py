"""Graphs of merges that are locked, pushed, pulled and loaded elsewhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import orchestra
from orchestra import GraphError, HubError, LockError, paper
from orchestra.io.document import read
from orchestra.io.hosting import declared, graph_parcel
from orchestra.io.hub import Online
from orchestra.io.lock import lock_path, take, write_lock
from orchestra.io.pull import unpack
from orchestra.io.push import push
from orchestra.paper import fetched_plan
from tests import folders, hubserver, tiny
from tests.hubserver import OWNER, Hub
from tests.mergers import graph, ties
from tests.mergers import said as say


@pytest.fixture(scope="module")
def said(three: Path, sessions_cache: None) -> Tensor:
    """What the same graph of folders says."""
    return say(orchestra.load(graph(str(three / "one"), model=ties(str(three / "{}")))))


def logits(composed: orchestra.ComposedModel) -> Tensor:
    """What a composition says of `tiny.tokens()` with the bridges that it was loaded with."""
    found: Tensor = composed(tiny.tokens()).logits
    return found


# -- locks ----------------------------------------------------------------------------------------------------------


def locked(path: Path) -> Path:
    found = read(path, locked=False)
    write_lock(lock_path(path), take(found.spec, fetched_plan(found, Online()).graph))
    return path


def test_a_locked_merge_stays_at_its_commits_and_is_held_to_its_files(
    hosted_three: Hub, said: Tensor, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = locked(folders.graph(tmp_path / "graph.json", graph("acme/one", model=ties("acme/{}@main"))))
    repository = hosted_three.repositories["acme/two"]
    commit = repository.at("main")
    pin = json.loads((tmp_path / "graph.lock.json").read_text())["pins"]["augments.kv.model.merge.models.0.model"]
    assert (pin["source"], pin["commit"]) == ("acme/two@main", commit)
    assert pin["files"]["model.safetensors"] == hubserver.sha256(repository.files()["model.safetensors"])
    for name in ("one", "two", "three"):
        hosted_three.repositories[f"acme/{name}"].commit({"config.json": b"{}"})
    assert torch.equal(say(orchestra.load(path)), said)
    files = repository.commits[commit]
    files["model.safetensors"] = files["model.safetensors"][:-1] + b"\x01"
    hubserver.move(monkeypatch, own_cache / "elsewhere")
    told = (
        f"{tmp_path}/graph.lock.json: augments.kv.model.merge.models.0.model: model.safetensors has SHA-256 "
        f"{hubserver.sha256(files['model.safetensors'])}, and {pin['files']['model.safetensors']} is locked."
    )
    with pytest.raises(LockError, match=f"^{re.escape(told)}$"):
        orchestra.load(path)


def test_a_merge_of_other_revisions_than_were_locked_is_refused(hosted_three: Hub, tmp_path: Path) -> None:
    path = locked(folders.graph(tmp_path / "graph.json", graph("acme/one")))
    folders.graph(path, graph("acme/one", model=ties("acme/{}@main")))
    with pytest.raises(LockError, match=r"merge\.base_model is 'acme/one@main', and 'acme/one' is locked; lock the "):
        orchestra.load(path)


# -- graphs that travel ---------------------------------------------------------------------------------------------


def test_a_graph_of_merges_is_pushed_pulled_and_loaded_elsewhere(
    hosted_three: Hub, said: Tensor, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted_three.add(
        "acme/one", {**hosted_three.repositories["acme/one"].files(), "README.md": b"---\nlicense: mit\n---\n"}
    )
    fresh = tiny.loud(orchestra.load(graph("acme/one")))
    fresh.save_stack("kv", tmp_path / "bundle")
    content = graph("acme/one", bundle=...)
    content["augments"]["kv"] = {"model": ties(), "bridges": "bundle"}
    path = folders.graph(tmp_path / "graph.json", content)
    document = read(path, hub=Online())
    parcel = graph_parcel(declared(document.spec), paper.plan(document, hub=Online()).graph)
    push(parcel, "acme/duo", token=OWNER)
    fresh.push_to_hub("acme/again", token=OWNER)
    files = hosted_three.repositories["acme/duo"].files()
    again = hosted_three.repositories["acme/again"].files()
    assert json.loads(again["graph.json"])["augments"] == json.loads(files["graph.json"])["augments"]
    assert str(tmp_path).encode() not in b"".join(files.values())
    told = json.loads(files["graph.json"])["augments"]["kv"]["model"]["merge"]
    commit = hosted_three.repositories["acme/two"].at("main")
    assert told["models"][0] == {"model": f"acme/two@{commit}", "parameters": {"weight": 0.5}}
    assert_card(files["README.md"].decode(), commit)
    monkeypatch.setenv("ORCHESTRA_CACHE", str(own_cache / "elsewhere"))
    hubserver.move(monkeypatch, own_cache / "elsewhere" / "hub")
    hosted_three.repositories["acme/two"].commit({"config.json": b"{}"})
    assert torch.equal(logits(orchestra.load("acme/duo")), said)
    unpack(Online()("acme/duo", None, "graph"), tmp_path / "pulled")
    assert torch.equal(logits(orchestra.load(tmp_path / "pulled/graph.json")), said)


def assert_card(card: str, commit: str) -> None:
    assert "base_model:\n- acme/one\n- acme/two\n- acme/three\n" in card
    assert "the models are fetched from their own, and merged by mergekit where they are loaded." in card
    assert f", `{commit[:12]}`, `" in card
    assert "| kv | ties of acme/one, acme/two, acme/three | " in card
    assert "| mit, not stated | 3 |" in card


def test_adapters_on_the_hub_are_merged_locked_and_hosted_with_their_models(
    hosted_three: Hub, mine: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lora, elsewhere = folders.adapter(mine / "lora", mine / "two"), tmp_path_factory.mktemp("elsewhere")
    commit = hosted_three.add("acme/lora", hubserver.files(lora))
    said = ties()
    said["merge"]["models"][0]["model"] = "acme/two+acme/lora@main"
    path = locked(folders.graph(elsewhere / "graph.json", graph("acme/one", model=said)))
    pin = json.loads((elsewhere / "graph.lock.json").read_text())["pins"]["augments.kv.model.merge.models.0.model"]
    assert (pin["commit"], pin["adapter"]) == (hosted_three.repositories["acme/two"].at("main"), commit)
    assert pin["files"]["adapter_model.safetensors"] == hubserver.sha256(
        (lora / "adapter_model.safetensors").read_bytes()
    )
    hosted_three.repositories["acme/lora"].commit({"adapter_config.json": b"{}"})
    here = ties(str(mine / "{}"))
    here["merge"]["models"][0]["model"] = f"{mine}/two+{lora}"
    expected = say(orchestra.load(graph(str(mine / "one"), model=here)))
    composed = orchestra.load(path)
    assert torch.equal(say(composed), expected)
    composed.push_to_hub("acme/duo", token=OWNER)
    told = json.loads(hosted_three.repositories["acme/duo"].files()["graph.json"])["augments"]["kv"]["model"]["merge"]
    assert told["models"][0]["model"] == f"acme/two@{pin['commit']}+acme/lora@{commit}"
    assert torch.equal(logits(orchestra.load("acme/duo")), expected)
    folders.edit_json(elsewhere / "graph.lock.json", pins=others(elsewhere / "graph.lock.json"))
    with pytest.raises(LockError, match=r"models\.0\.model: adapter_model\.safetensors has SHA-256 \w+, and 0{64} is"):
        orchestra.load(path)


def others(path: Path) -> dict[str, Any]:
    """The pins of a lock, with another digest for an adapter."""
    pins: dict[str, Any] = json.loads(path.read_text())["pins"]
    pins["augments.kv.model.merge.models.0.model"]["files"]["adapter_model.safetensors"] = "0" * 64
    return pins


def test_a_merge_s_seed_and_tokenizer_go_with_it(hosted_three: Hub, tmp_path: Path) -> None:
    folders.letters(tmp_path / "letters")
    content = graph("acme/one", model=ties(seed=5, tokenizer="letters"))
    document = read(folders.graph(tmp_path / "graph.json", content), hub=Online())
    planned = paper.plan(document, hub=Online())
    push(graph_parcel(declared(document.spec), planned.graph), "acme/duo", token=OWNER)
    files = hosted_three.repositories["acme/duo"].files()
    told = json.loads(files["graph.json"])["augments"]["kv"]
    assert (told["model"]["seed"], told["model"]["tokenizer"]) == (5, "./tokenizers/kv/merge")
    assert "tokenizer" not in told
    assert files["tokenizers/kv/merge/tokenizer.json"] == (tmp_path / "letters/tokenizer.json").read_bytes()
    assert not [name for name in files if name.startswith("tokenizers/kv/tokenizer")]
    there, here = paper.plan("acme/duo", hub=Online()).graph.augments[0].facts, planned.graph.augments[0].facts
    assert (there.tokenizer, there.vocab_size) == (here.tokenizer, here.vocab_size)
    unpack(Online()("acme/duo", None, "graph"), tmp_path / "pulled")
    assert paper.plan(tmp_path / "pulled/graph.json", hub=Online()).graph.augments[0].facts.tokenizer == here.tokenizer


def test_a_hosted_graph_may_merge_models_and_adapters_that_lie_in_its_repository(
    hosted_three: Hub, mine: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lora = folders.adapter(mine / "lora", mine / "two")
    here, there = ties(str(mine / "{}")), ties()
    here["merge"]["models"][0]["model"] = f"{mine}/two+{lora}"
    there["merge"]["models"][0]["model"] = "./models/two+./models/lora"
    held = {f"models/{name}": content for name, content in hubserver.files(mine).items() if name[:3] in ("two", "lor")}
    hosted_three.add("acme/duo", {"graph.json": json.dumps(graph("acme/one", model=there)).encode(), **held})
    expected = say(orchestra.load(graph(str(mine / "one"), model=here)))
    assert torch.equal(say(orchestra.load("acme/duo")), expected)
    pulled = tmp_path_factory.mktemp("elsewhere") / "pulled"
    unpack(Online()("acme/duo", None, "graph"), pulled)
    assert torch.equal(say(orchestra.load(pulled / "graph.json")), expected)


def test_a_merge_with_a_model_on_this_disk_is_not_pushed_and_the_model_is_named(hosted_three: Hub, mine: Path) -> None:
    content = graph("acme/one")
    content["augments"]["kv"]["model"]["merge"]["models"][1]["model"] = "three"
    content["augments"]["more"] = {**content["augments"]["kv"], "model": ties()}
    document = read(folders.graph(mine / "graph.json", content), hub=Online())
    told = (
        f"augments.kv.model.merge.models.1.model is the folder {mine}/three; a graph on the Hub names models on the "
        "Hub: upload it, and name its id."
    )
    with pytest.raises(HubError, match=f"^{re.escape(told)}$"):
        graph_parcel(declared(document.spec), paper.plan(document, hub=Online()).graph)
    lora = folders.adapter(mine / "lora", mine / "three")
    content["augments"]["kv"]["model"]["merge"]["models"][1]["model"] = "acme/three+lora"
    document = read(folders.graph(mine / "graph.json", content), hub=Online())
    with pytest.raises(HubError, match=f"^{re.escape(told.replace(f'{mine}/three', str(lora)))}$"):
        graph_parcel(declared(document.spec), paper.plan(document, hub=Online()).graph)


@pytest.mark.parametrize("source", ["/etc/model", "~/model", "../model", "/etc/model@main"])
@pytest.mark.parametrize("place", ["base_model", "models", "tokenizer_source", "tokenizer", "adapter"])
def test_a_merge_of_a_hosted_graph_cannot_leave_its_repository(
    hosted_three: Hub, tmp_path: Path, place: str, source: str
) -> None:
    wrong = ties()
    if place in ("models", "adapter"):
        wrong["merge"]["models"][0]["model"] = source if place == "models" else f"acme/two+{source}"
    else:
        (wrong if place == "tokenizer" else wrong["merge"])[place] = source
    hosted_three.add("acme/duo", {"graph.json": json.dumps(graph("acme/one", model=wrong)).encode()})
    with pytest.raises(GraphError, match=r"which leads out of acme/duo; a graph on the Hub names what is in its "):
        orchestra.load("acme/duo")
    with pytest.raises(HubError, match=r"^acme/duo: augments\.kv\.model\..* is '.*', which leads out of it\.$"):
        unpack(Online()("acme/duo", None, "graph"), tmp_path / "pulled")
