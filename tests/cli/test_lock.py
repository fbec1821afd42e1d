import json
from pathlib import Path

from tests import folders
from tests.cli.conftest import Run
from tests.hubserver import Hub


def graph(parts: Path, folder: Path) -> Path:
    """A graph of a repository, of a folder, and of a bundle."""
    content = folders.document(kv={"model": str(parts / "kv"), "bridges": "acme/anchor-x-kv"})
    return folders.graph(folder / "duo.json", {**content, "anchor": {"model": "acme/anchor"}})


def test_a_lock_is_written_beside_the_graph(run: Run, hosted: Hub, parts: Path, tmp_path: Path) -> None:
    done = run("lock", graph(parts, tmp_path))
    assert (done.code, done.out) == (0, f"{tmp_path}/duo.lock.json: written. 3 fields, 12 files.\n")
    pins = json.loads((tmp_path / "duo.lock.json").read_text())["pins"]
    assert pins["anchor.model"]["commit"] == hosted.repositories["acme/anchor"].at("main")
    assert "commit" not in pins["augments.kv.model"]
    assert sorted(pins["augments.kv.bridges"]["files"]) == ["bridge_config.json", "bridge_model.safetensors"]


def test_a_graph_is_locked_anew_after_a_change(run: Run, hosted: Hub, parts: Path, tmp_path: Path) -> None:
    path = graph(parts, tmp_path)
    run("lock", path)
    content = json.loads(path.read_text())
    content["anchor"]["revision"] = "main"
    folders.graph(path, content)
    done = run("check", path, "--remote")
    assert (done.code, done.err) == (
        1,
        f"{tmp_path}/duo.lock.json: anchor.model is 'acme/anchor' at 'main', and 'acme/anchor' is locked; "
        "lock the graph again.\n",
    )
    assert run("lock", path).code == 0
    assert run("check", path, "--remote").code == 0


def test_a_graph_of_the_hub_is_pulled_first(run: Run, hosted: Hub, parts: Path, tmp_path: Path) -> None:
    hosted.add("acme/duo", {"graph.json": graph(parts, tmp_path).read_bytes()})
    done = run("lock", "acme/duo")
    assert (done.code, done.err) == (
        1,
        "acme/duo: a lock lies beside a graph on this disk; pull the graph first.\n",
    )
