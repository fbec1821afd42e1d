import re
from pathlib import Path

import pytest

from orchestra.errors import HubError
from orchestra.graph import Origin
from orchestra.io.hosted import cache_folder, cached, is_hub_id, leads_out

COMMIT = "a" * 40


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of `acme/kv` in a cache, with one snapshot of one file."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--acme--kv"
    for name in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (folder / name).mkdir(parents=True)
    (folder / "refs/main").write_text(COMMIT)
    (folder / "stray").write_text(COMMIT)
    (folder / "blobs/b0b").write_text("{}")
    (folder / f"snapshots/{COMMIT}/config.json").symlink_to("../../blobs/b0b")
    return folder


@pytest.mark.parametrize("source", ["acme/kv", "Acme-1/kv_2.5b", "a/b", "bridges/kv"])
def test_an_owner_and_a_name_may_be_a_repository(source: str) -> None:
    assert is_hub_id(source)


@pytest.mark.parametrize(
    "source",
    [
        *("kv", "./kv", "../acme/kv", "/acme/kv", "a/b/c", "acme/", "/kv", "acme/kv.gguf", "acme/graph.json"),
        *("acme/k--v", "acme/..", "acme/.kv", "acme/kv-", "acme/k v", "acme/kv\n", "~/kv", "acmé/kv", "a/" + "b" * 200),
    ],
)
def test_anything_else_is_none(source: str) -> None:
    assert not is_hub_id(source)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HOME": "/d"}, "/d/.cache/huggingface/hub"),
    ],
)
def test_the_cache_is_where_the_client_keeps_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], place: str
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(place)


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_repository_is_found_by_its_branch_or_its_commit(repository: Path, revision: str | None) -> None:
    found = cached("acme/kv", revision, "model")
    assert found.origin == Origin(repo="acme/kv", commit=COMMIT)
    assert found.folder == repository / "snapshots" / COMMIT


@pytest.mark.parametrize("revision", ["dev", "b" * 40, "../stray", "../../../../etc/hostname", "x" * 300, "a\0b"])
def test_a_revision_that_is_not_cached_is_named(repository: Path, revision: str) -> None:
    message = f"the Hub's cache holds no acme/kv at {revision!r}; load and `orchestra check --remote` fetch it."
    with pytest.raises(HubError, match=f"^{re.escape(message)}$"):
        cached("acme/kv", revision, "model")


def test_a_branch_that_leads_to_no_commit_is_none(repository: Path) -> None:
    (repository / "refs/main").write_text("../../elsewhere")
    with pytest.raises(HubError, match=r"^the Hub's cache holds no acme/kv; "):
        cached("acme/kv", None, "model")


def test_links_lead_to_blobs_and_nowhere_else(repository: Path, tmp_path: Path) -> None:
    root = repository / "snapshots" / COMMIT
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "config.json").touch()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "shared").touch()
    (root / "folder").mkdir()
    links = {
        "shared": tmp_path / "blobs/shared",
        "away": tmp_path / "outside/config.json",
        "folder-away": tmp_path / "outside",
        "blobs": repository / "blobs",
        "refs": repository / "refs/main",
        "loop": root / "loop",
        "sibling": root / "config.json",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    assert {path.name for path in root.iterdir() if leads_out(path, root)} == {
        "away",
        "folder-away",
        "blobs",
        "refs",
        "loop",
    }
    assert leads_out(root / ".." / ".." / "refs", root)
