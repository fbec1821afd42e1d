import json
from pathlib import Path

from tests import folders
from tests.cli.conftest import Run


def test_bundles_that_fit_are_told_by_aspect(run: Run, loud_graph: Path) -> None:
    done = run("compat", loud_graph)
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(f"{loud_graph}: fits. kv, tetum join without training.\n")
    table = done.out.splitlines()
    for row in ("anchor", "augment", "sites", "stored as", "tokenizers", "template and tail", "alignment version"):
        assert any(line.startswith(f"│ {row} ") for line in table)
    assert done.out.count("fits") >= 2 * 8


def test_a_misfit_is_exit_code_one_with_every_reason(run: Run, loud_graph: Path, tmp_path: Path) -> None:
    for name in ("kv", "tetum"):
        config = json.loads((loud_graph.parent / f"{name}-bundle" / "bridge_config.json").read_text())
        assert config["alignment_version"] == 1
    content = json.loads(loud_graph.read_text())
    content["augments"]["kv"] |= {
        "model": str(loud_graph.parent / "tetum"),
        "bridges": str(loud_graph.parent / "kv-bundle"),
    }
    content["augments"]["tetum"] |= {
        "model": str(loud_graph.parent / "tetum"),
        "bridges": str(loud_graph.parent / "tetum-bundle"),
    }
    content["anchor"]["model"] = str(loud_graph.parent / "anchor")
    graph = folders.graph(tmp_path / "graph.json", content)
    done = run("compat", graph)
    assert (done.code, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[-1] == f"{graph}: does not fit."
    assert "augments.kv.bridges: the augment's model_type is bloom, and it was trained with gpt2." in lines
    assert any("does not fit" in line for line in lines if line.startswith("│ augment"))
    read = run("compat", graph, "--json", "--loudness", loud_graph)
    found = json.loads(read.out)
    assert (read.code, found["fits"], found["loudness"]) == (1, False, {})
    assert found["reasons"] == [line for line in lines if line.startswith("augments.kv")]


def test_the_loudness_of_each_stack_in_each_domain(run: Run, loud_graph: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("w3 w5\n\nw7 w11\n")
    (tmp_path / "b.txt").write_text("w2\n")
    done = run("compat", loud_graph, "--loudness", tmp_path / "a.txt", "--loudness", tmp_path / "b.txt", "--json")
    found = json.loads(done.out)
    assert (done.code, found["fits"]) == (0, True)
    assert [list(shares) for shares in found["loudness"].values()] == 2 * [[f"{tmp_path}/a.txt", f"{tmp_path}/b.txt"]]
    table = run("compat", loud_graph, "--loudness", tmp_path / "a.txt").out
    share = found["loudness"]["kv"][f"{tmp_path}/a.txt"]
    assert f"{share:.3f}" in table


def test_a_domain_that_cannot_be_read_is_named(run: Run, loud_graph: Path, tmp_path: Path) -> None:
    done = run("compat", loud_graph, "--loudness", tmp_path / "none.txt")
    assert (done.code, done.err) == (1, f"{tmp_path}/none.txt: cannot be read: No such file or directory.\n")
    (tmp_path / "bytes").write_bytes(b"\xff")
    assert run("compat", loud_graph, "--loudness", tmp_path / "bytes").err == f"{tmp_path}/bytes: is not UTF-8 text.\n"


def test_fresh_bridges_are_said_to_be_trained(run: Run, loud_graph: Path) -> None:
    graph = folders.graph(loud_graph.parent / "fresh-graph.json", folders.document(kv={"bridges": {"every": 2}}))
    assert run("compat", graph).out == f"{graph}: fits. It names no bundles.\nFresh, and to be trained: kv.\n"
