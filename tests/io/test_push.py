"""Parcels on their way: one commit each, whole, and nothing sent before everything is known to fit."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from orchestra.errors import HubError
from orchestra.io.document import read
from orchestra.io.hosting import bundle_parcel, declared, graph_parcel
from orchestra.io.hub import Online
from orchestra.io.push import push
from orchestra.paper import plan
from tests import folders, hubserver
from tests.hubserver import OWNER, STRANGER, Hub

BUNDLE = ["README.md", "bridge_config.json", "bridge_model.safetensors"]


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def document(parts: Path, **augments: Any) -> dict[str, Any]:
    """A graph of models on the Hub, whose bundles lie on this disk."""
    told = augments or {"kv": {"bridges": str(parts / "kv-bundle")}}
    return {
        "format": "orchestra/graph@1",
        "description": "Two.",
        "anchor": {"model": "acme/anchor"},
        "augments": {name: {"model": "acme/kv", **fields} for name, fields in told.items()},
    }


def send(content: dict[str, Any], **words: Any) -> None:
    found = read(content)
    parcel = graph_parcel(declared(found.spec), plan(found, hub=Online()).graph)
    push(parcel, "acme/duo", **{"token": OWNER, **words})


def test_a_graph_goes_in_one_commit_with_its_bundle_and_its_cards(hosted: Hub, parts: Path) -> None:
    send(document(parts), commit_message="Two of them")
    repository = hosted.repositories["acme/duo"]
    assert repository.messages == ["", "Two of them"]
    assert sorted(repository.files()) == sorted(
        [".gitattributes", "README.md", "graph.json", *(f"bridges/kv/{name}" for name in BUNDLE)]
    )
    assert json.loads(repository.files()["graph.json"]) == {
        "format": "orchestra/graph@1",
        "description": "Two.",
        "anchor": {"model": "acme/anchor", "revision": hosted.repositories["acme/anchor"].at("main")},
        "augments": {
            "kv": {
                "model": "acme/kv",
                "revision": hosted.repositories["acme/kv"].at("main"),
                "bridges": "./bridges/kv",
            }
        },
    }


def test_the_cards_name_the_models_and_their_licences(hosted: Hub, parts: Path) -> None:
    files = hubserver.files(parts / "kv")
    hosted.add("acme/kv", {**files, "README.md": b"---\nlicense: apache-2.0\n---\n"})
    send(document(parts))
    told = hosted.repositories["acme/duo"].files()["README.md"].decode()
    assert ModelCard(told).data.get("base_model") == ["acme/anchor", "acme/kv"]
    commits = {name: hosted.repositories[f"acme/{name}"].at("main")[:12] for name in ("anchor", "kv")}
    assert f"| anchor | acme/anchor | `{commits['anchor']}` | not stated |  |" in told
    assert f"| kv | acme/kv | `{commits['kv']}` | apache-2.0 | 3 |" in told
    assert 'model = orchestra.load("acme/duo")' in told


def test_what_is_pushed_again_takes_the_place_of_the_old_and_nothing_of_it_stays(hosted: Hub, parts: Path) -> None:
    bundle = str(parts / "kv-bundle")
    send(document(parts, kv={"bridges": bundle}, more={"bridges": bundle, "model": "acme/kv"}))
    repository = hosted.repositories["acme/duo"]
    repository.commit({**repository.files(), "graph.lock.json": b"{}", "notes.md": b"kept"})
    send(document(parts, more={"bridges": bundle, "model": "acme/kv"}))
    files = repository.files()
    assert sorted(path for path in files if path.startswith("bridges/")) == [f"bridges/more/{name}" for name in BUNDLE]
    assert "notes.md" in files
    assert "graph.lock.json" not in files


def test_a_branch_is_made_where_there_is_none(hosted: Hub, parts: Path) -> None:
    send(document(parts), revision="dev")
    send(document(parts), revision="dev")
    repository = hosted.repositories["acme/duo"]
    assert sorted(repository.branches) == ["dev", "main"]
    assert "graph.json" not in repository.files("main")
    assert "graph.json" in repository.files("dev")


def test_a_repository_is_private_if_it_is_made_so(hosted: Hub, parts: Path) -> None:
    send(document(parts), private=True)
    assert hosted.repositories["acme/duo"].private


def test_a_bundle_has_a_repository_of_its_own(hosted: Hub, parts: Path) -> None:
    push(bundle_parcel(parts / "kv-bundle"), "acme/x", token=OWNER)
    assert sorted(hosted.repositories["acme/x"].files()) == [".gitattributes", *BUNDLE]


def test_a_repository_that_is_something_else_is_left_alone(hosted: Hub, parts: Path) -> None:
    before = hosted.repositories["acme/kv"].files()
    parcel = bundle_parcel(parts / "kv-bundle")
    message = "acme/kv: not written: it holds config.json and no bridge_config.json, so that it is something else."
    with pytest.raises(HubError, match=exactly(message)):
        push(parcel, "acme/kv", token=OWNER)
    hosted.add("acme/duo", {"bridge_config.json": b"{}"})
    message = "acme/duo: not written: it holds bridge_config.json and no graph.json, so that it is something else."
    with pytest.raises(HubError, match=exactly(message)):
        send(document(parts))
    assert hosted.repositories["acme/kv"].files() == before


def test_who_may_not_write_is_told_so(hosted: Hub, parts: Path) -> None:
    parcel = bundle_parcel(parts / "kv-bundle")
    message = "the Hub does not let you write to acme/x: log in with `hf auth login`, with a token that may."
    with pytest.raises(HubError, match=exactly(message)):
        push(parcel, "acme/x", token=STRANGER)
    assert "acme/x" not in hosted.repositories


def test_an_upload_that_breaks_off_leaves_the_repository_as_it_was(hosted: Hub, parts: Path, tmp_path: Path) -> None:
    push(bundle_parcel(parts / "kv-bundle"), "acme/x", token=OWNER)
    before = dict(hosted.repositories["acme/x"].branches)
    shutil.copytree(parts, tmp_path / "other")
    other = folders.bundle(tmp_path / "other", gate="token")
    hosted.refused.append("PUT /lfs/")
    with pytest.raises(HubError, match=r"^acme/x was not reached to the end"):
        push(bundle_parcel(other), "acme/x", token=OWNER)
    assert hosted.repositories["acme/x"].branches == before
