"""Merges whose models are on the Hub: when what is fetched, what is kept, and graphs of them that travel."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import orchestra
from orchestra import GraphError, HubError, LockError, MergeError, paper
from orchestra import spec as specs
from orchestra.io import merge as merging
from orchestra.io.document import read
from orchestra.io.hosting import declared, graph_parcel
from orchestra.io.hub import Online
from orchestra.io.lock import lock_path, take, write_lock
from orchestra.io.pull import unpack
from orchestra.io.push import push
from orchestra.paper import fetched_plan
from tests import folders, hubserver, mergers, tiny
from tests.hubserver import OWNER, Hub


def ties(at: str = "acme/{}", **more: Any) -> dict[str, Any]:
    """A merge of the three, each named so."""
    listed = [
        {"model": at.format("two"), "parameters": {"weight": 0.5}},
        {"model": at.format("three"), "parameters": {"weight": 1}},
    ]
    return {"merge": {"merge_method": "ties", "base_model": at.format("one"), "models": listed}, **more}


def graph(anchor: Any, **kv: Any) -> dict[str, Any]:
    kv = {"model": ties(), "bridges": {"pairs": tiny.PAIRS}, **kv}
    return {"format": "orchestra/graph@1", "anchor": {"model": anchor}, "augments": {"kv": kv}}


def logits(composed: orchestra.ComposedModel) -> Tensor:
    found: Tensor = composed(tiny.tokens()).logits
    return found


@pytest.fixture
def merges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The merges that were really made, in the order in which they were."""
    made, whole = list[str](), merging._run

    def run(merge: Any, places: list[Path], out: Path) -> None:
        made.append(merge.recipe)
        whole(merge, places, out)

    monkeypatch.setattr(merging, "_run", run)
    return made


@pytest.fixture(scope="module")
def said(three: Path, sessions_cache: None) -> Tensor:
    """What the same graph of folders says, its bridges made loud."""
    return logits(tiny.loud(orchestra.load(graph(str(three / "one"), model=ties(str(three / "{}"))))))


# -- load and merge() -----------------------------------------------------------------------------------------------


def test_a_merge_of_repositories_is_the_merge_of_the_same_folders(hosted_three: Hub, said: Tensor) -> None:
    assert torch.equal(logits(tiny.loud(orchestra.load(graph("acme/one")))), said)


@pytest.mark.parametrize("form", ["acme/{}", "acme/{}@main", "mapping"])
def test_a_recipe_of_repositories_makes_what_mergekit_makes_of_the_folders(
    hosted_three: Hub, three: Path, tmp_path: Path, form: str
) -> None:
    recipe = ties(form)["merge"]
    if form == "mapping":
        recipe["base_model"] = {"model": {"path": "acme/one", "revision": "main"}}
        for name, one in zip(("two", "three"), recipe["models"], strict=True):
            one["model"] = {"model": {"path": f"acme/{name}"}}
    (tmp_path / "recipe.yml").write_text(json.dumps(recipe))
    made = orchestra.merge(tmp_path / "recipe.yml", tmp_path / "made")
    assert mergers.same(made, mergers.mergekits(ties(str(three / "{}"))["merge"], tmp_path / "theirs"))
    assert [file.name for file in made.iterdir() if str(tmp_path.parent.parent).encode() in file.read_bytes()] == []


@pytest.mark.parametrize("how", ["graph", "recipe"])
def test_no_weight_is_fetched_for_what_cannot_be_merged(hosted_three: Hub, tmp_path: Path, how: str) -> None:
    wrong = ties()
    wrong["merge"]["models"][0]["parameters"]["densty"] = 1
    wrong["merge"]["models"][1]["model"] = "acme/three@v7"
    told = [
        "models.0.parameters.densty is an unknown parameter; did you mean 'density'?",
        "models.1.model is 'acme/three': there is no such folder, and the Hub has no acme/three at 'v7'.",
    ]
    with pytest.raises((GraphError, MergeError)) as caught:
        attempt(how, wrong, tmp_path)
    field = "augments.kv.model.merge." if how == "graph" else ""
    assert str(caught.value).splitlines() == [f"{field}{line}" for line in told]
    assert fetched(hosted_three) == 0
    assert all(part == "bytes=0-65535" for _, path, part in hosted_three.asked if path.startswith("/content/"))


def attempt(how: str, model: dict[str, Any], base: Path) -> None:
    """Load a graph of a merge, or make it."""
    if how == "graph":
        orchestra.load(graph("acme/one", model=model))
    else:
        orchestra.merge(model["merge"], base / "made")


def fetched(hub: Hub) -> int:
    """How many weight files were sent whole."""
    return sum(path.startswith("/content/") and part is None for _, path, part in hub.asked)


def test_check_reads_headers_with_network_and_needs_none_afterwards(hosted_three: Hub, tmp_path: Path) -> None:
    path = folders.graph(tmp_path / "graph.json", graph("acme/one"))
    planned = paper.plan(path, hub=Online())
    assert planned.graph.augments[0].facts.weight_bytes == 79968
    assert fetched(hosted_three) == 0
    asked = len(hosted_three.asked)
    assert paper.plan(path) == planned
    assert len(hosted_three.asked) == asked
    orchestra.load(path)
    assert fetched(hosted_three) == 3


def test_a_header_that_was_not_that_of_the_weights_is_noticed(
    hosted_three: Hub, three: Path, tmp_path: Path, own_cache: Path
) -> None:
    paper.plan(graph("acme/one"), hub=Online())
    repository = hosted_three.repositories["acme/two"]
    lied = own_cache / "headers" / "acme--two" / repository.at("main") / "model.safetensors.json"
    header = json.loads(lied.read_text())
    files = repository.commits[repository.at("main")]
    files["model.safetensors"] = (three / "two/model.safetensors").read_bytes().replace(b"up_proj", b"up_prxj", 1)
    assert header["size"] == len(files["model.safetensors"])
    with pytest.raises(GraphError, match=r"^augments\.kv\.model\.merge\.models\.0\.model has .*up_prxj\.weight, "):
        orchestra.load(graph("acme/one"))


def test_what_a_branch_points_to_is_what_is_merged_and_a_pinned_commit_stays(
    hosted_three: Hub, merges: list[str], said: Tensor, tmp_path: Path
) -> None:
    olds = {name: hosted_three.repositories[f"acme/{name}"].at("main") for name in ("one", "two", "three")}
    first = logits(tiny.loud(orchestra.load(graph("acme/one"))))
    other = folders.checkpoint(tmp_path / "other", seed=7)
    hosted_three.repositories["acme/two"].commit(hubserver.files(other))
    second = logits(tiny.loud(orchestra.load(graph("acme/one"))))
    pinned = ties()
    pinned["merge"]["models"][0]["model"] = f"acme/two@{olds['two']}"
    third = logits(tiny.loud(orchestra.load(graph("acme/one", model=pinned))))
    assert torch.equal(first, said)
    assert not torch.equal(second, said)
    assert torch.equal(third, said)
    assert len(merges) == 2


@pytest.mark.parametrize("how", ["local_files_only", "offline"])
def test_what_is_cached_needs_no_network_and_is_merged_once(
    hosted_three: Hub, merges: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    expected = logits(tiny.loud(orchestra.load(graph("acme/one"))))
    made = orchestra.merge(ties()["merge"], tmp_path / "made")
    asked, merged = len(hosted_three.asked), len(merges)
    words: dict[str, Any] = {"local_files_only": True} if how == "local_files_only" else {}
    if how == "offline":
        hubserver.unplug(monkeypatch)
    assert torch.equal(logits(tiny.loud(orchestra.load(graph("acme/one"), **words))), expected)
    assert len(merges) == merged
    assert mergers.same(orchestra.merge(ties()["merge"], tmp_path / "again", **words), made)
    assert len(hosted_three.asked) == asked


def test_offline_what_is_not_cached_whole_is_refused(hosted_three: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    paper.plan(graph("acme/one"), hub=Online())
    with pytest.raises(HubError, match=r"^the Hub's cache does not hold all of acme/one at '\w{40}', and nothing is "):
        orchestra.load(graph("acme/one"), local_files_only=True)
    hubserver.unplug(monkeypatch)
    with pytest.raises(MergeError, match=r"acme/one': there is no such folder, and .* nothing is fetched offline"):
        orchestra.merge({**ties()["merge"], "base_model": "acme/one@v2"}, "made")


def test_a_connection_that_is_cut_leaves_nothing_to_merge_and_goes_on(
    hosted_three: Hub, said: Tensor, own_cache: Path
) -> None:
    hosted_three.cuts["/model.safetensors"] = [0, hubserver.CHUNK]  # the first is where the content is said to lie
    with pytest.raises(GraphError, match=r"acme/\w+ was not reached to the end; what arrived whole is kept, so try"):
        orchestra.load(graph("acme/one"))
    paper.plan(graph("acme/one"), hub=Online())
    hosted_three.cuts["/model.safetensors"] = [0] * 99
    with pytest.raises(HubError, match=r"^acme/\w+ was not reached to the end; what arrived whole is kept, so try"):
        orchestra.load(graph("acme/one"))
    assert not (own_cache / "merged").exists()
    hosted_three.cuts.clear()
    assert torch.equal(logits(tiny.loud(orchestra.load(graph("acme/one")))), said)


def test_a_private_model_is_merged_by_whom_it_belongs_to(hosted_three: Hub, tmp_path: Path) -> None:
    hosted_three.repositories["acme/two"].private = True
    hosted_three.repositories["acme/three"].gated = True
    with pytest.raises(MergeError, match=r"no acme/two, or shows it to others(.|\n)*acme/three is gated"):
        orchestra.merge(ties()["merge"], tmp_path / "made", token=hubserver.STRANGER)
    assert orchestra.merge(ties()["merge"], tmp_path / "made", token=OWNER)


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
    assert torch.equal(logits(tiny.loud(orchestra.load(path))), said)
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
    expected = logits(tiny.loud(orchestra.load(graph(str(mine / "one"), model=here))))
    composed = tiny.loud(orchestra.load(path))
    assert torch.equal(logits(composed), expected)
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
    assert specs.parse(graph("acme/one", model=wrong))
