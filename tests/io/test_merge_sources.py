import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestra.graph import Origin
from orchestra.io.hosted import Snapshot
from orchestra.io.hub import Online
from orchestra.io.merge_sources import Sources, find_sources
from orchestra.io.places import Places
from orchestra.merging.merge import Source
from tests import folders, hubserver
from tests.hubserver import Hub


def find(folder: Path, *named: Any, **more: Any) -> Sources:
    """What is found of these models, which are merged."""
    recipe = {"merge_method": "linear", "models": [{"model": name} for name in named]}
    return find_sources(recipe, Places(folder=folder, **more))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lost", " is 'lost', but there is no folder {base}/lost."),
        ("two+lost", " is 'lost', but there is no folder {base}/lost."),
        ("two+one", ": {base}/one: holds no adapter_config.json."),
        ("one+lora+lora", " is 'one+lora+lora', which has 2 adapters; one can be added to a model."),
        ("wide+lora", ": {base}/lora/adapter_model.safetensors: model.layers.0.mlp.up_proj.weight is no weight of a"),
        ("lora", ": {base}/lora: holds no config.json."),
        ("two@main", " is 'two@main', but 'two' is a folder, which has no revisions."),
        ("./two@main", " is './two@main', but './two' is a folder, which has no revisions."),
        ("lost@main", " is 'lost', but there is no folder {base}/lost."),
        ("a@b@c", " is 'a@b@c', which has two revisions; name one."),
        ("m.gguf", ": {base}/m.gguf: is a GGUF file; mergekit merges folders of safetensors."),
        ("empty", ": {base}/empty: holds no config.json."),
        ("packed", ": {base}/packed: is quantized; mergekit merges plain weights."),
        ("nameless", ": {base}/nameless: its config has no 'architectures' of one name, by which mergekit merges."),
    ],
)
def test_a_model_that_cannot_be_merged_is_named_with_its_field(mine: Path, name: str, told: str) -> None:
    (mine / "m.gguf").touch()
    (mine / "empty").mkdir()
    shutil.copytree(mine / "two", mine / "packed")
    folders.edit_json(mine / "packed" / "config.json", quantization_config={"bits": 4})
    shutil.copytree(mine / "two", mine / "nameless")
    folders.edit_json(mine / "nameless" / "config.json", architectures=None)
    folders.checkpoint(mine / "wide", "gpt2")
    folders.adapter(mine / "lora", mine / "one")
    (problem, *_) = find(mine, "one", name).problems
    assert problem.startswith(f"models.1.model{told.format(base=mine)}")


def test_a_folder_has_no_revision_in_the_longer_form_either(mine: Path) -> None:
    long = {"model": {"path": "two", "revision": "main"}}
    told = "models.1.model is 'two@main', but 'two' is a folder, which has no revisions."
    assert find(mine, "one", long).problems == [told]


def test_an_adapter_changes_nothing_that_is_known_of_its_model(mine: Path) -> None:
    lora = folders.adapter(mine / "lora", mine / "one")
    found = find(mine, "one", "one+lora", {"model": "one", "lora": {"path": "lora"}})
    assert found.problems == []
    assert found.facts["one"] == found.facts["one+lora"]
    assert found.models == {
        "one": Source(str(mine / "one")),
        "one+lora": Source(str(mine / "one"), str(lora)),
    }


# -- the Hub --------------------------------------------------------------------------------------------------------


def origin(hub: Hub, name: str) -> Origin:
    return Origin(repo=f"acme/{name}", commit=hub.repositories[f"acme/{name}"].at("main"))


@pytest.mark.parametrize("long", [False, True])
def test_a_repository_is_known_by_its_headers_as_its_folder_is(
    hosted_three: Hub, three: Path, tmp_path: Path, own_cache: Path, long: bool
) -> None:
    named = {"model": {"path": "acme/two", "revision": "main"}} if long else "acme/two@main"
    found = find(tmp_path, "acme/one", named, hub=Online())
    here = find(three, "one", "two")
    assert found.problems == here.problems == []
    for name, mine in (("acme/one", "one"), ("acme/two@main", "two")):
        assert found.origins[str(found.places[name])] == origin(hosted_three, mine)
        assert found.facts[name].shapes == here.facts[mine].shapes
        assert found.facts[name].weight_bytes == here.facts[mine].weight_bytes
        assert found.facts[name].tokenizer == here.facts[mine].tokenizer
    assert not [*own_cache.rglob("model.safetensors")]


def test_a_revision_is_the_one_that_is_read(hosted_three: Hub, three: Path, tmp_path: Path) -> None:
    old = origin(hosted_three, "two").commit
    files = hosted_three.repositories["acme/two"].files()
    config = json.loads(files["config.json"]) | {"vocab_size": 89}
    hosted_three.repositories["acme/two"].commit({**files, "config.json": json.dumps(config).encode()})
    found = find(tmp_path, f"acme/two@{old}", "acme/two", hub=Online())
    assert [facts.vocab_size for facts in found.facts.values()] == [97, 89]


def test_a_model_that_lends_its_tokenizer_alone_may_have_no_weights(hosted_three: Hub, tmp_path: Path) -> None:
    files = hosted_three.repositories["acme/three"].files()
    words = {name: content for name, content in files.items() if name != "model.safetensors"}
    hosted_three.repositories["acme/three"].commit(words)
    recipe = {"merge_method": "linear", "models": [{"model": "acme/one"}], "tokenizer_source": "acme/three"}
    found = find_sources(recipe, Places(folder=tmp_path, hub=Online()))
    assert (found.problems, list(found.facts), list(found.places)) == ([], ["acme/one"], ["acme/one", "acme/three"])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("acme/lost", " is 'acme/lost': there is no such folder, and the Hub has no acme/lost, or shows it to others "),
        ("acme/two@v7", " is 'acme/two': there is no such folder, and the Hub has no acme/two at 'v7'."),
        ("acme/two@", " is 'acme/two': there is no such folder, and '' is no revision's name."),
        (
            "acme/two@../../../etc",
            " is 'acme/two': there is no such folder, and '../../../etc' is no revision's name.",
        ),
        ("acme/gated", " is 'acme/gated': there is no such folder, and acme/gated is gated: ask for access at "),
        (
            "acme/pickled",
            ": acme/pickled: holds no model.safetensors, only pickled weights (pytorch_model.bin), which are never "
            "loaded.",
        ),
        ("acme/damaged", ": acme/damaged: model.safetensors is not a whole safetensors file; the repository is damag"),
    ],
)
def test_a_repository_that_cannot_be_merged_is_named_with_its_field(
    hosted_three: Hub, three: Path, tmp_path: Path, name: str, told: str
) -> None:
    files = hubserver.files(three / "two")
    rest = {name: content for name, content in files.items() if name != "model.safetensors"}
    hosted_three.add("acme/gated", files, gated=True)
    hosted_three.add("acme/pickled", {**rest, "pytorch_model.bin": b"pickle"})
    hosted_three.add("acme/damaged", {**rest, "model.safetensors": b"\xff" * 503})
    (problem,) = find(tmp_path, "acme/one", name, hub=Online()).problems
    assert problem.startswith(f"models.1.model{told}")
    assert "pytorch_model.bin" not in hosted_three.downloads()


def test_an_adapter_on_the_hub_is_known_by_its_header(
    hosted_three: Hub, mine: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lora, elsewhere = folders.adapter(mine / "lora", mine / "one"), tmp_path_factory.mktemp("elsewhere")
    hosted_three.add("acme/lora", {**hubserver.files(lora), "adapter_model.bin": b"pickle", "config.json": b"{}"})
    found = find(elsewhere, "acme/one@main+acme/lora@main", hub=Online())
    assert found.problems == []
    (model,) = found.models.values()
    assert found.origins[model.adapter or ""] == origin(hosted_three, "lora")
    assert [path.name for path in Path(model.adapter or "").iterdir()] == ["adapter_config.json"]
    assert find(elsewhere, "acme/one@main+acme/lora@main").problems == []
    hosted_three.add("acme/pickled", {"adapter_config.json": b"{}", "adapter_model.bin": b"pickle"})
    assert find(elsewhere, "acme/one+acme/pickled", hub=Online()).problems == [
        "models.0.model: acme/pickled: holds no adapter_model.safetensors, only pickled weights (adapter_model.bin), "
        "which are never loaded."
    ]
    folders.adapter(mine / "wide", mine / "one", rank=5)
    config = (lora / "adapter_config.json").read_bytes()
    hosted_three.add("acme/wide", {**hubserver.files(mine / "wide"), "adapter_config.json": config})
    (problem, *_) = find(elsewhere, "acme/one+acme/wide", hub=Online()).problems
    assert "A [5, 28] and B [29, 5] of rank 3 do not fit [29, 28]." in problem


def test_a_folder_comes_before_a_repository_of_its_name(hosted_three: Hub, three: Path, tmp_path: Path) -> None:
    shutil.copytree(three / "one", tmp_path / "acme" / "two")
    found = find(tmp_path, "acme/two", hub=Online())
    assert (found.places, found.origins, hosted_three.asked) == ({"acme/two": tmp_path / "acme/two"}, {}, [])
    told = "models.0.model is 'acme/two@main', but 'acme/two' is a folder, which has no revisions."
    assert find(tmp_path, "acme/two@main", hub=Online()).problems == [told]


@pytest.mark.parametrize("how", ["local_files_only", "offline"])
def test_headers_are_not_asked_for_offline(
    hosted_three: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    commit = Online()("acme/two", None, "model").origin.commit
    asked = len(hosted_three.asked)
    if how == "offline":
        hubserver.unplug(monkeypatch)
    told = (
        "models.0.model is 'acme/two': there is no such folder, and the Hub's cache does not hold all of acme/two at "
        f"{commit!r}, and nothing is fetched offline."
    )
    assert find(tmp_path, "acme/two", hub=Online(local_files_only=how == "local_files_only")).problems == [told]
    assert len(hosted_three.asked) == asked


def test_without_network_what_was_read_before_is_known_and_nothing_else(hosted_three: Hub, tmp_path: Path) -> None:
    told = (
        "models.0.model is 'acme/one': there is no such folder, and the Hub's cache holds no acme/one; load and "
        "`orchestra check --remote` fetch it."
    )
    assert find(tmp_path, "acme/one").problems == [told]
    Online()("acme/two", None, "model")
    told = (
        "models.0.model is 'acme/two': there is no such folder, and no header of the weights of acme/two is kept; load "
        "and `orchestra check --remote` fetch them."
    )
    assert find(tmp_path, "acme/two").problems == [told]
    find(tmp_path, "acme/two", hub=Online())
    asked = len(hosted_three.asked)
    assert find(tmp_path, "acme/two").problems == []
    assert find(tmp_path, "acme/two", hub=Online(local_files_only=True)).problems == []
    assert len(hosted_three.asked) == asked


@pytest.mark.parametrize("name", ["/etc", "~/one", "../one", "/etc@main", "../one@main", "acme/../../one", "C:/one"])
def test_a_graph_on_the_hub_names_no_model_outside_of_its_repository(three: Path, name: str) -> None:
    root = Snapshot(folder=three / "two", origin=Origin(repo="acme/trio", commit="0" * 40))
    (problem,) = find(three, name, root=root).problems
    assert re.match(r"models\.0\.model is '.*', which leads out of acme/trio; ", problem)
