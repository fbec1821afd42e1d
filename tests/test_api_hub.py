"""load() and the Hub: what is fetched, in which order, what is refused, and what needs no network."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import orchestra
from orchestra import BundleError, ComposedModel, GraphError, HubError, LockError, ModelError
from orchestra.io.document import read
from orchestra.io.hosted import cached
from orchestra.io.hub import Online
from orchestra.io.lock import lock_path, take, write_lock
from orchestra.paper import fetched_plan
from tests import folders, hubserver, tiny
from tests.hubserver import Hub


def document(**fields: Any) -> dict[str, Any]:
    """A graph of repositories."""
    kv = {"model": "acme/kv", "bridges": "acme/anchor-x-kv", **fields}
    return {"format": "orchestra/graph@1", "anchor": {"model": "acme/anchor"}, "augments": {"kv": kv}}


def encoded(content: object) -> bytes:
    return json.dumps(content).encode()


@pytest.fixture(scope="module")
def said(parts: Path) -> Tensor:
    """What the composition of the folders says of `tiny.tokens()`."""
    logits: Tensor = orchestra.load(parts / "graph.json")(tiny.tokens()).logits
    return logits


def logits(composed: ComposedModel) -> Tensor:
    found: Tensor = composed(tiny.tokens()).logits
    return found


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_a_graph_of_repositories_is_the_graph_of_the_same_folders(hosted: Hub, parts: Path, said: Tensor) -> None:
    composed = orchestra.load(document())
    assert torch.equal(logits(composed), said)
    assert composed.plan.graph.anchor.facts.name == "acme/anchor"
    assert composed.plan.costs[0].weight_bytes == (parts / "kv/model.safetensors").stat().st_size - header_bytes(parts)


def header_bytes(parts: Path) -> int:
    return 8 + int.from_bytes((parts / "kv/model.safetensors").read_bytes()[:8], "little")


def test_a_hosted_graph_is_loaded_by_its_name_and_its_bundle_from_within(
    hosted: Hub, parts: Path, said: Tensor
) -> None:
    bundle = {f"bridges/kv/{name}": content for name, content in hubserver.files(parts / "kv-bundle").items()}
    hosted.add("acme/duo", {"graph.json": encoded(document(bridges="./bridges/kv")), **bundle})
    assert torch.equal(logits(orchestra.load("acme/duo")), said)


def test_a_revision_of_a_graph_is_the_one_that_is_loaded(hosted: Hub) -> None:
    old = hosted.add("acme/duo", {"graph.json": encoded(document())})
    hosted.repositories["acme/duo"].commit({"graph.json": encoded(document(enabled=False))})
    assert orchestra.load("acme/duo").active == ()
    assert orchestra.load("acme/duo", revision=old).active == ("kv",)
    with pytest.raises(HubError, match=exactly("the Hub has no acme/duo at 'v7'.")):
        orchestra.load("acme/duo", revision="v7")


def test_a_pinned_model_is_not_the_one_at_the_branch_s_head(hosted: Hub, said: Tensor) -> None:
    pinned = hosted.repositories["acme/kv"].at("main")
    hosted.repositories["acme/kv"].commit({"config.json": b"{}"})
    assert torch.equal(logits(orchestra.load(document(revision=pinned))), said)
    with pytest.raises(GraphError, match="its config has no model_type"):
        orchestra.load(document())


def test_what_is_cached_needs_no_network(hosted: Hub, monkeypatch: pytest.MonkeyPatch, said: Tensor) -> None:
    hosted.add("acme/duo", {"graph.json": encoded(document())})
    orchestra.load("acme/duo")
    asked = len(hosted.asked)
    assert torch.equal(logits(orchestra.load("acme/duo", local_files_only=True)), said)
    hubserver.unplug(monkeypatch)
    assert torch.equal(logits(orchestra.load("acme/duo")), said)
    assert len(hosted.asked) == asked


@pytest.mark.parametrize("how", ["local_files_only", "offline"])
def test_what_is_not_cached_is_refused_without_network(hosted: Hub, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "offline":
        hubserver.unplug(monkeypatch)
    message = "the Hub's cache does not hold all of acme/duo, and nothing is fetched offline."
    with pytest.raises(HubError, match=exactly(message)):
        orchestra.load("acme/duo", local_files_only=how == "local_files_only")
    assert hosted.asked == []


def test_weights_are_fetched_once_all_else_fits(hosted: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GraphError, match="anchor_layer is 9"):
        orchestra.load(document(bridges={"pairs": [tiny.pair(0, 9)]}))
    assert "config.json" in hosted.downloads()
    assert "model.safetensors" not in hosted.downloads()
    orchestra.load(document())
    assert hosted.downloads().count("model.safetensors") == 2
    assert hosted.downloads().count("config.json") == 2


def test_a_bundle_for_other_weights_is_refused_by_the_names_on_the_hub(hosted: Hub, tmp_path: Path) -> None:
    other = folders.checkpoint(tmp_path, "gpt2", seed=7)
    hosted.add("acme/kv", hubserver.files(other))
    with pytest.raises(BundleError, match=r"weights are \w+ \(acme/kv\), and it was trained with \w+ \(kv\)"):
        orchestra.load(document())


def test_all_repositories_that_are_not_to_be_had_are_listed_at_once(hosted: Hub, parts: Path) -> None:
    hosted.add("acme/gated", hubserver.files(parts / "kv"), gated=True)
    hosted.add("acme/private", hubserver.files(parts / "kv-bundle"), private=True)
    content = document(model="acme/gated", bridges="acme/private")
    content["anchor"] = {"model": "acme/anchor", "revision": "nowhere"}
    with pytest.raises(GraphError) as caught:
        orchestra.load(content)
    assert str(caught.value).splitlines() == [
        "anchor.model is 'acme/anchor': there is no such folder, and the Hub has no acme/anchor at 'nowhere'.",
        "augments.kv.model is 'acme/gated': there is no such folder, and acme/gated is gated: "
        f"ask for access at {hosted.endpoint}/acme/gated, and log in with `hf auth login`.",
        "augments.kv.bridges is 'acme/private': there is no such folder, and the Hub has no acme/private, "
        "or shows it to others only: check the name, or log in with `hf auth login`.",
    ]


def test_a_token_opens_what_is_private_or_gated_to_whom_it_belongs(hosted: Hub, parts: Path, said: Tensor) -> None:
    hosted.add("acme/gated", hubserver.files(parts / "kv"), gated=True)
    hosted.add("acme/private", hubserver.files(parts / "kv-bundle"), private=True)
    content = document(model="acme/gated", bridges="acme/private")
    with pytest.raises(GraphError, match=r"gated is gated(.|\n)*no acme/private, or shows it to others"):
        orchestra.load(content, token=hubserver.STRANGER)
    assert torch.equal(logits(orchestra.load(content, token=hubserver.OWNER)), said)


# -- connections that break -----------------------------------------------------------------------------------------


def test_a_cut_download_goes_on_where_it_was_cut(hosted: Hub, said: Tensor) -> None:
    hosted.cuts["/model.safetensors"] = [2 * hubserver.CHUNK, 0, 5 * hubserver.CHUNK + 3]
    assert torch.equal(logits(orchestra.load(document())), said)
    assert [asked for _, _, asked in hosted.asked if asked] == ["bytes=1018-", "bytes=1018-", "bytes=3563-"]


def test_a_connection_that_is_cut_for_good_leaves_nothing_to_load_and_what_came_whole_stays(
    hosted: Hub, monkeypatch: pytest.MonkeyPatch, said: Tensor, own_cache: Path
) -> None:
    hosted.cuts["/model.safetensors"] = [0] * 99
    with pytest.raises(HubError, match=r"^acme/anchor was not reached to the end; what arrived whole is kept, so try"):
        orchestra.load(document())
    assert not [*own_cache.rglob("model.safetensors"), *own_cache.rglob("*.incomplete")]
    with monkeypatch.context() as patch:
        hubserver.unplug(patch)
        with pytest.raises(HubError, match=r"^the Hub's cache does not hold all of acme/anchor at '\w{40}', and"):
            orchestra.load(document())
    hosted.cuts.clear()
    before = hosted.downloads().count("tokenizer.json")
    assert torch.equal(logits(orchestra.load(document())), said)
    assert hosted.downloads().count("tokenizer.json") == before


def test_a_small_file_that_is_cut_is_refused_by_its_field(hosted: Hub) -> None:
    hosted.cuts["bridge_config.json"] = [0] * 99
    with pytest.raises(GraphError, match=r"^augments\.kv\.bridges is .* was not reached to the end"):
        orchestra.load(document())


# -- what is never taken from a repository --------------------------------------------------------------------------


def test_pickles_and_code_are_not_even_fetched(hosted: Hub, parts: Path) -> None:
    files = {name: content for name, content in hubserver.files(parts / "kv").items() if name != "model.safetensors"}
    hosted.add("acme/kv", {**files, "pytorch_model.bin": b"pickle", "modeling_kv.py": b"code"})
    message = "acme/kv: holds no model.safetensors, only pickled weights (pytorch_model.bin), which are never loaded."
    with pytest.raises(ModelError, match=exactly(message)):
        orchestra.load(document())
    assert not {"pytorch_model.bin", "modeling_kv.py"} & {*hosted.downloads()}


@pytest.mark.parametrize("source", ["../anchor-x-kv", "/etc", "~/bundle", "./bridges/../../kv", "C:/kv"])
@pytest.mark.parametrize("field", ["model", "bridges", "tokenizer"])
def test_a_graph_on_the_hub_cannot_leave_its_repository(hosted: Hub, field: str, source: str) -> None:
    hosted.add("acme/duo", {"graph.json": encoded(document(**{field: source}))})
    message = (
        f"augments.kv.{field} is {source!r}, which leads out of acme/duo; a graph on the Hub names what is in its "
        "repository, or on the Hub."
    )
    with pytest.raises(GraphError, match=exactly(message)):
        orchestra.load("acme/duo")


def test_a_link_in_the_cache_leads_to_its_blob_and_nowhere_else(hosted: Hub, tmp_path: Path, said: Tensor) -> None:
    assert torch.equal(logits(orchestra.load(document())), said)
    config = cached("acme/anchor-x-kv", None, "bundle").folder / "bridge_config.json"
    assert config.is_symlink()
    (tmp_path / "elsewhere.json").write_bytes(config.read_bytes())
    config.unlink()
    config.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(GraphError, match=exactly(f"augments.kv.bridges: {config} leads out of acme/anchor-x-kv.")):
        orchestra.load(document())


# -- locks ----------------------------------------------------------------------------------------------------------


def test_a_file_that_changed_under_its_lock_is_refused_by_name(
    hosted: Hub, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lock(folders.graph(tmp_path / "graph.json", document()))
    commit = hosted.repositories["acme/kv"].at("main")
    files = hosted.repositories["acme/kv"].commits[commit]
    was, files["model.safetensors"] = files["model.safetensors"], flipped(files["model.safetensors"])
    hubserver.move(monkeypatch, own_cache / "elsewhere")
    with pytest.raises(LockError) as caught:
        orchestra.load(path)
    assert str(caught.value) == (
        f"{tmp_path}/graph.lock.json: augments.kv.model: model.safetensors has SHA-256 "
        f"{hubserver.sha256(files['model.safetensors'])}, and {hubserver.sha256(was)} is locked."
    )


def test_a_locked_graph_stays_at_its_commits(hosted: Hub, tmp_path: Path, said: Tensor) -> None:
    path = lock(folders.graph(tmp_path / "graph.json", document()))
    for name in ("anchor", "kv", "anchor-x-kv"):
        hosted.repositories[f"acme/{name}"].commit({"config.json": b"{}"})
    assert torch.equal(logits(orchestra.load(path)), said)


def test_files_of_a_model_from_memory_are_not_held_to_the_lock(parts: Path, tmp_path: Path) -> None:
    fresh = {"model": str(parts / "kv"), "bridges": {"pairs": [tiny.pair(0, 1)]}}
    content = {"format": "orchestra/graph@1", "anchor": {"model": str(parts / "anchor")}, "augments": {"kv": fresh}}
    path = lock(folders.graph(tmp_path / "graph.json", content))
    folders.edit_json(tmp_path / "graph.lock.json", pins=changed(tmp_path / "graph.lock.json"))
    with pytest.raises(LockError, match=r"augments\.kv\.model: config\.json has SHA-256"):
        orchestra.load(path)
    assert orchestra.load(path, models={"kv": tiny.model("gpt2", seed=1, dtype=torch.float32)})


def changed(path: Path) -> dict[str, Any]:
    """The pins of a lock, with another digest for kv's config."""
    pins: dict[str, Any] = json.loads(path.read_text())["pins"]
    pins["augments.kv.model"]["files"]["config.json"] = "0" * 64
    return pins


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def lock(path: Path) -> Path:
    """Lock a graph."""
    found = read(path, locked=False)
    write_lock(lock_path(path), take(found.spec, fetched_plan(found, Online()).graph))
    return path
