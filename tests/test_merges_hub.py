"""Merges whose models are on the Hub: when what is fetched, what is kept, and graphs of them that travel."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import orchestra
from orchestra import GraphError, HubError, MergeError, paper
from orchestra.io import merge as merging
from orchestra.io.hub import Online
from tests import folders, hubserver, mergers
from tests.hubserver import OWNER, Hub
from tests.mergers import graph, ties
from tests.mergers import said as say


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
    return say(orchestra.load(graph(str(three / "one"), model=ties(str(three / "{}")))))


# -- load and merge() -----------------------------------------------------------------------------------------------


def test_a_merge_of_repositories_is_the_merge_of_the_same_folders(hosted_three: Hub, said: Tensor) -> None:
    assert torch.equal(say(orchestra.load(graph("acme/one"))), said)


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
    first = say(orchestra.load(graph("acme/one")))
    other = folders.checkpoint(tmp_path / "other", seed=7)
    hosted_three.repositories["acme/two"].commit(hubserver.files(other))
    second = say(orchestra.load(graph("acme/one")))
    pinned = ties()
    pinned["merge"]["models"][0]["model"] = f"acme/two@{olds['two']}"
    third = say(orchestra.load(graph("acme/one", model=pinned)))
    assert torch.equal(first, said)
    assert not torch.equal(second, said)
    assert torch.equal(third, said)
    assert len(merges) == 2


@pytest.mark.parametrize("how", ["local_files_only", "offline"])
def test_what_is_cached_needs_no_network_and_is_merged_once(
    hosted_three: Hub, merges: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    expected = say(orchestra.load(graph("acme/one")))
    made = orchestra.merge(ties()["merge"], tmp_path / "made")
    asked, merged = len(hosted_three.asked), len(merges)
    words: dict[str, Any] = {"local_files_only": True} if how == "local_files_only" else {}
    if how == "offline":
        hubserver.unplug(monkeypatch)
    assert torch.equal(say(orchestra.load(graph("acme/one"), **words)), expected)
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
    assert torch.equal(say(orchestra.load(graph("acme/one"))), said)


def test_a_private_model_is_merged_by_whom_it_belongs_to(hosted_three: Hub, tmp_path: Path) -> None:
    hosted_three.repositories["acme/two"].private = True
    hosted_three.repositories["acme/three"].gated = True
    with pytest.raises(MergeError, match=r"no acme/two, or shows it to others(.|\n)*acme/three is gated"):
        orchestra.merge(ties()["merge"], tmp_path / "made", token=hubserver.STRANGER)
    assert orchestra.merge(ties()["merge"], tmp_path / "made", token=OWNER)
