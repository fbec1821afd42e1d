import os
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Run
from tests.hubserver import Hub


def test_a_bundle_is_pulled_into_a_folder(run: Run, hosted: Hub, tmp_path: Path) -> None:
    commit = hosted.repositories["acme/anchor-x-kv"].at("main")
    done = run("pull", "acme/anchor-x-kv", tmp_path / "mine")
    assert (done.code, done.out) == (0, f"{tmp_path}/mine: written, from acme/anchor-x-kv at {commit}.\n")


def test_a_repository_that_is_not_there_is_one_message(run: Run, hub: Hub, tmp_path: Path) -> None:
    done = run("pull", "acme/none", tmp_path / "mine")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "the Hub has no acme/none, or shows it to others only: check the name, or log in with `hf auth login`.\n"
    )


def test_where_the_hub_is_comes_from_the_environment(hosted: Hub, tmp_path: Path) -> None:
    own = {"HF_ENDPOINT": hosted.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "orchestra", "pull", "acme/anchor-x-kv", str(tmp_path / "mine")]
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_CACHE"}
    done = subprocess.run(command, env={**environment, **own}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "mine/bridge_config.json").is_file()
    assert (tmp_path / "home/hub/models--acme--anchor-x-kv").is_dir()
