import json
from pathlib import Path

import pytest

from tests import folders, hubserver
from tests.cli.conftest import Run
from tests.hubserver import Hub


@pytest.fixture(autouse=True)
def logged_in(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hubserver.OWNER)


def graph(parts: Path, folder: Path) -> Path:
    content = folders.document(kv={"model": "acme/kv", "bridges": str(parts / "kv-bundle")})
    return folders.graph(folder / "duo.json", {**content, "anchor": {"model": "acme/anchor"}})


def test_a_graph_is_pushed_pulled_elsewhere_and_answers(
    run: Run, hosted: Hub, parts: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("push", graph(parts, tmp_path), "acme/duo", "--message", "Two")
    commit = hosted.repositories["acme/duo"].at("main")
    assert (done.code, done.out) == (0, f"{tmp_path}/duo.json: pushed. {hosted.endpoint}/acme/duo/commit/{commit}\n")
    hubserver.move(monkeypatch, own_cache / "elsewhere")
    done = run("pull", "acme/duo", tmp_path / "mine", "--revision", commit)
    assert (done.code, done.out) == (0, f"{tmp_path}/mine/graph.json: written, from acme/duo at {commit}.\n")
    said = [
        run("generate", place, "--prompt", "w3 w5 w7", "--max-new-tokens", 5).out for place in places(parts, tmp_path)
    ]
    assert said[0]
    assert len({*said}) == 1


def places(parts: Path, tmp_path: Path) -> tuple[object, ...]:
    """The graph as it was, as it was pulled, and on the Hub."""
    return parts / "graph.json", tmp_path / "mine/graph.json", "acme/duo"


def test_a_bundle_is_pushed_by_its_folder(run: Run, hosted: Hub, parts: Path) -> None:
    assert run("push", parts / "kv-bundle", "acme/x", "--private").code == 0
    assert hosted.repositories["acme/x"].private
    assert "bridge_model.safetensors" in hosted.repositories["acme/x"].files()


def test_what_cannot_be_hosted_is_listed_and_nothing_is_sent(run: Run, hub: Hub, parts: Path) -> None:
    done = run("push", parts / "graph.json", "acme/duo")
    assert (done.code, done.out) == (1, "")
    upload = "a graph on the Hub names models on the Hub: upload it, and name its id."
    assert done.err.splitlines() == [
        f"anchor.model is the folder {parts}/anchor; {upload}",
        f"augments.kv.model is the folder {parts}/kv; {upload}",
    ]
    assert hub.asked == []


def test_a_locked_graph_is_pushed_at_the_commits_of_its_lock(
    run: Run, hosted: Hub, parts: Path, tmp_path: Path
) -> None:
    path = graph(parts, tmp_path)
    assert run("lock", path).code == 0
    locked = hosted.repositories["acme/kv"].at("main")
    hosted.repositories["acme/kv"].commit({"config.json": b"{}"})
    assert run("push", path, "acme/duo").code == 0
    assert json.loads(hosted.repositories["acme/duo"].files()["graph.json"])["augments"]["kv"]["revision"] == locked
