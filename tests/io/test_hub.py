import re
from pathlib import Path

import pytest
from huggingface_hub import constants, file_download
from huggingface_hub.errors import HfHubHTTPError

from orchestra.errors import HubError, ModelError
from orchestra.graph import Origin
from orchestra.io.hub import Online, licence
from tests import hubserver
from tests.hubserver import OWNER, STRANGER, Hub

SMALL = {"config.json": b"{}", "tokenizer.model": b"t", "merges.txt": b"m", "chat_template.jinja": b"j"}
OTHER = {"pytorch_model.bin": b"p", "modeling.py": b"c", "README.md": b"r", "onnx/config.json": b"{}", "a.gguf": b"g"}


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_of_a_model_all_but_the_weights_is_fetched_and_nothing_else(hub: Hub) -> None:
    commit = hub.add("acme/kv", {**SMALL, **OTHER, "model.safetensors": b"w"})
    found = Online()("acme/kv", None, "model")
    assert found.origin == Origin(repo="acme/kv", commit=commit)
    assert names(found.folder) == sorted(SMALL)


def test_of_a_bundle_its_two_files_are_fetched(hub: Hub) -> None:
    bundle = {"bridge_config.json": b"{}", "bridge_model.safetensors": b"w"}
    hub.add("acme/x", {**SMALL, **OTHER, **bundle})
    assert names(Online()("acme/x", None, "bundle").folder) == sorted(bundle)


def test_of_a_graph_everything_is_fetched_that_is_neither_pickle_nor_code(hub: Hub) -> None:
    graph = {"graph.json": b"{}", "bridges/kv/bridge_model.safetensors": b"w", "README.md": b"r"}
    hub.add("acme/duo", {**graph, "bridges/kv/x.pkl": b"p", "setup.py": b"c"})
    assert names(Online()("acme/duo", None, "graph").folder) == sorted(graph)


def test_of_a_model_that_is_taken_for_a_graph_nothing_is_fetched(hub: Hub) -> None:
    hub.add("acme/kv", {**SMALL, **OTHER, "model.safetensors": b"w"})
    assert names(Online()("acme/kv", None, "graph").folder) == []
    assert hub.downloads() == []


@pytest.mark.parametrize("sharded", [False, True])
def test_weights_are_those_that_the_index_names(hub: Hub, sharded: bool) -> None:
    index = {"model.safetensors.index.json": b'{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}'}
    weights = {"m-1.safetensors": b"1", "m-2.safetensors": b"2"} if sharded else {"model.safetensors": b"w"}
    hub.add("acme/kv", {**SMALL, **weights, **(index if sharded else {}), "consolidated.safetensors": b"more"})
    online = Online()
    found = online("acme/kv", None, "model")
    online.weights(found.origin)
    assert {*names(found.folder)} - {*SMALL, *index} == {*weights}
    asked = len(hub.asked)
    online.weights(found.origin)
    assert len(hub.asked) == asked


def test_a_branch_that_moves_stands_still_while_it_is_read(hub: Hub) -> None:
    first = hub.add("acme/kv", SMALL)
    online = Online()
    assert online("acme/kv", None, "model").origin.commit == first
    second = hub.repositories["acme/kv"].commit({"config.json": b"[]"})
    assert online("acme/kv", None, "model").origin.commit == first
    assert Online()("acme/kv", None, "model").origin.commit == second


def test_a_model_without_weights_is_refused(hub: Hub) -> None:
    hub.add("acme/kv", SMALL)
    online = Online()
    with pytest.raises(ModelError, match=exactly("acme/kv: holds no model.safetensors.")):
        online.weights(online("acme/kv", None, "model").origin)


@pytest.mark.parametrize(
    ("repo", "revision", "token", "message"),
    [
        (
            "acme/none",
            None,
            None,
            "the Hub has no acme/none, or shows it to others only: check the name, or log in with `hf auth login`.",
        ),
        (
            "acme/private",
            None,
            STRANGER,
            "the Hub has no acme/private, or shows it to others only: check the name, or log in with `hf auth login`.",
        ),
        (
            "acme/gated",
            None,
            STRANGER,
            "acme/gated is gated: ask for access at {hub}/acme/gated, and log in with `hf auth login`.",
        ),
        ("acme/kv", "v7", None, "the Hub has no acme/kv at 'v7'."),
        ("a--b", None, None, "'a--b' is no repository's name: Cannot have -- or .. in repo_id: 'a--b'."),
    ],
)
def test_every_refusal_says_what_to_do(
    hub: Hub, repo: str, revision: str | None, token: str | None, message: str
) -> None:
    hub.add("acme/kv", SMALL)
    hub.add("acme/private", SMALL, private=True)
    hub.add("acme/gated", SMALL, gated=True)
    with pytest.raises(HubError, match=exactly(message.format(hub=hub.endpoint))):
        Online(token=token)(repo, revision, "model")


@pytest.mark.parametrize("revision", ["../../../stray", "/stray", "..\\stray", "a\nb", "-stray", ""])
def test_a_revision_cannot_lead_out_of_the_cache(hub: Hub, own_cache: Path, revision: str) -> None:
    commit = hub.add("acme/kv", SMALL)
    hub.repositories["acme/kv"].branches[revision] = commit
    with pytest.raises(HubError, match=exactly(f"{revision!r} is no revision's name.")):
        Online()("acme/kv", revision, "model")
    assert list(own_cache.iterdir()) == []


def test_a_hub_that_is_not_there_is_said_to_be(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(HubError, match=r"^acme/kv was not reached to the end; what arrived whole is kept, so try"):
        Online()("acme/kv", None, "model")


def test_what_is_half_there_is_not_taken_for_whole_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("acme/kv", {**SMALL, "model.safetensors": b"w" * 5003})
    hub.cuts["/merges.txt"] = [0] * 99
    with pytest.raises(HubError, match="was not reached to the end"):
        Online()("acme/kv", None, "model")
    hubserver.unplug(monkeypatch)
    message = "the Hub's cache does not hold all of acme/kv, and nothing is fetched offline."
    with pytest.raises(HubError, match=exactly(message)):
        Online()("acme/kv", None, "model")


def test_a_file_that_is_longer_than_the_hub_announced_is_no_file(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("acme/kv", {"config.json": b"{}"})
    fetch = file_download.get_hf_file_metadata

    def announce(*arguments: object, **words: object) -> object:
        found = fetch(*arguments, **words)  # type: ignore[arg-type]
        return type(found)(**{**vars(found), "size": 1})

    monkeypatch.setattr(file_download, "get_hf_file_metadata", announce)
    with pytest.raises(HubError, match="Consistency check failed: file should be of size 1 but has size 2"):
        Online()("acme/kv", None, "model")


@pytest.mark.parametrize(
    ("card", "stated"),
    [
        (b"---\nlicense: mit\n---\n", "mit"),
        (b"---\nlicense: other\nlicense_name: gemma\n---\n", "gemma"),
        (b"---\nlicense: [a, b]\n---\n", None),
        (b"---\ntags: []\n---\n", None),
        (b"---\nlicense: ][\n---\n", None),
        (b"---\nlicense: 'cc-by-4.0'\n---\n", "cc-by-4.0"),
        (b"---\nlicense: a | b\n---\n", None),
        (b"---\ntags: []\n---\nlicense: mit\n", None),
        (b"text\n---\nlicense: mit\n---\n", None),
        (b"\xff\xfe", None),
        (b"---\n- a\n---\n", None),
        (b"no metadata", None),
        (None, None),
    ],
)
def test_a_licence_is_what_the_card_states(hub: Hub, card: bytes | None, stated: str | None) -> None:
    commit = hub.add("acme/kv", SMALL if card is None else {"README.md": card})
    assert licence(Origin(repo="acme/kv", commit=commit), token=OWNER) == stated


def test_the_root_of_the_clients_http_errors_is_caught() -> None:
    assert HfHubHTTPError.__bases__[0].__name__ == "HTTPError"
