"""What holds for every test: shapes are checked, one thread, no network, nothing left outside the test's folder."""

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Before any module of these packages is imported: every annotated shape is then checked on every call. Not those that
# have no tensors and call small functions for each character.
SPELLING = ("cut", "detext", "traits")
RUNTIME = [path.stem for path in Path(__file__).parents[1].glob("orchestra/runtime/*.py") if path.stem not in SPELLING]
jaxtyping.install_import_hook(["orchestra.nn", *(f"orchestra.runtime.{name}" for name in RUNTIME)], "beartype.beartype")

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests import folders, hubserver  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("orchestra", deadline=None, max_examples=50)
settings.load_profile("orchestra")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-architectures", action="store_true", help="Write docs/architectures.md from what came of the tests."
    )


@pytest.fixture(autouse=True)
def room_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches write in place whatever their size, so that small models do as large ones."""
    monkeypatch.setattr("orchestra.runtime.room.LARGE", 0)


@pytest.fixture(autouse=True, scope="session")
def sessions_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder for what fixtures make before a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORCHESTRA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh cache folder for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ORCHESTRA_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    return folder


@pytest.fixture
def hub(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hubserver.Hub]:
    """A Hub of this test's own, which the real client talks to, and an empty cache."""
    # huggingface_hub 2.4 uploads in a way that its HTTP library does not want any more. Until the test's end.
    warnings.filterwarnings("ignore", "Use 'content=<...>'", DeprecationWarning)
    with hubserver.serving() as server:
        hubserver.connect(monkeypatch, server, own_cache / "hub")
        yield server


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory, sessions_cache: None) -> Path:
    """The folders of an anchor and of the augment kv, a bundle that joins them, and the graph of all three."""
    base = tmp_path_factory.mktemp("parts")
    folders.checkpoint(base / "anchor", "llama")
    folders.checkpoint(base / "kv", "gpt2", seed=1)
    folders.graph(base / "graph.json", folders.document(kv={"bridges": folders.bundle(base).name}))
    return base


@pytest.fixture
def hosted(hub: hubserver.Hub, parts: Path) -> hubserver.Hub:
    """A Hub that has them, as `acme/anchor`, `acme/kv` and `acme/anchor-x-kv`."""
    for name, folder in (("anchor", "anchor"), ("kv", "kv"), ("anchor-x-kv", "kv-bundle")):
        hub.add(f"acme/{name}", hubserver.files(parts / folder))
    return hub


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory, sessions_cache: None) -> Path:
    """The folders of three models of one shape, `one`, `two` and `three`, that nobody changes."""
    base = tmp_path_factory.mktemp("three")
    folders.three(base)
    return base


@pytest.fixture
def mine(three: Path, tmp_path: Path) -> Path:
    """Three models of the test's own."""
    shutil.copytree(three, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def hosted_three(hub: hubserver.Hub, three: Path) -> hubserver.Hub:
    """A Hub that has them, as `acme/one`, `acme/two` and `acme/three`."""
    for name in ("one", "two", "three"):
        hub.add(f"acme/{name}", hubserver.files(three / name))
    return hub
