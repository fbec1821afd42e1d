import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import folders
from tests.cli.conftest import Run
from tests.hubserver import Hub
from tests.papers import graph_file, pair

HEAVY = ("torch", "transformers", "numpy", "huggingface_hub")
SCRIPT = f"""
import atexit, sys
from orchestra.cli import main
atexit.register(lambda: print("heavy:", *(name for name in {HEAVY!r} if name in sys.modules)))
main()
"""


def test_a_graph_that_can_exist_is_fine(run: Run, tmp_path: Path) -> None:
    path = graph_file(tmp_path, kv={}, tetum={"bridges": {"every": 2}})
    done = run("check", path)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"{path}: fine. 4 bridges join the anchor with kv (reads the anchor's ids), tetum (reads the anchor's ids).\n"
    )


def test_who_feeds_whom_is_said_where_it_is_not_the_anchor_alone(run: Run, tmp_path: Path) -> None:
    path = graph_file(tmp_path, kv={"into": ["tetum", "anchor"], "context": "prompt"}, tetum={})
    assert run("check", path).out == (
        f"{path}: fine. 3 bridges lead from kv (reads the prompt's ids) into the anchor and tetum, "
        "from tetum (reads the anchor's ids) into the anchor.\n"
    )


def test_an_augment_that_reads_the_prompt_only_is_said_to(run: Run, tmp_path: Path) -> None:
    path = graph_file(tmp_path, kv={"context": "prompt"}, tetum={"bridges": {"every": 2}})
    assert "kv (reads the prompt's ids), tetum (reads the anchor's ids)." in run("check", path).out


def test_every_problem_is_listed_at_once(run: Run, tmp_path: Path) -> None:
    path = graph_file(tmp_path, kv={"bridges": {"pairs": [pair(9, 0)]}}, tetum={"model": "lost", "into": ["kv"]})
    done = run("check", path)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        f"augments.tetum.model is 'lost', but there is no folder {tmp_path}/lost.",
        "augments.kv.bridges.pairs.0.augment_layer is 9, but kv has 3 layers, numbered 0 to 2.",
    ]


def test_a_repository_is_looked_for_in_the_cache_and_on_the_hub_if_wished(
    run: Run, hosted: Hub, tmp_path: Path, parts: Path
) -> None:
    content = json.loads((parts / "graph.json").read_text()) | {"anchor": {"model": "acme/anchor"}}
    content["augments"]["kv"] |= {"model": str(parts / "kv"), "bridges": "acme/anchor-x-kv"}
    path = folders.graph(tmp_path / "graph.json", content)
    fetch = "load and `orchestra check --remote` fetch it."
    assert run("check", path).err.splitlines() == [
        f"anchor.model is 'acme/anchor': there is no such folder, and the Hub's cache holds no acme/anchor; {fetch}",
        "augments.kv.bridges is 'acme/anchor-x-kv': there is no such folder, and the Hub's cache holds no "
        f"acme/anchor-x-kv; {fetch}",
    ]
    assert hosted.asked == []
    fine = f"{path}: fine. 3 bridges join the anchor with kv (reads the anchor's ids).\n"
    assert run("check", path, "--remote").out == fine
    asked = len(hosted.asked)
    assert run("check", path).out == fine
    table = run("plan", path).out
    assert "acme/anchor" in table
    assert "unknown" in table
    assert len(hosted.asked) == asked
    assert "model.safetensors" not in hosted.downloads()


@pytest.mark.parametrize("command", ["check", "plan", "show"])
def test_a_command_of_the_paper_half_runs_without_torch_in_under_a_cpu_second(tmp_path: Path, command: str) -> None:
    path = graph_file(tmp_path)
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, command, str(path)], capture_output=True, text=True, check=True
    )
    after = os.times()
    assert done.stdout.splitlines()[-1].strip() == "heavy:"
    spent_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent_s < 1.0


def test_one_bridge_is_one(run: Run, tmp_path: Path) -> None:
    path = graph_file(tmp_path, kv={"bridges": {"pairs": [{"augment_layer": 1, "anchor_layer": "embedding"}]}})
    assert run("check", path).out == f"{path}: fine. 1 bridge joins the anchor with kv (reads the anchor's ids).\n"
