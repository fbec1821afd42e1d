import re
from pathlib import Path

import pytest

from orchestra.errors import GraphError
from orchestra.graph import Origin
from orchestra.io.hosted import Snapshot
from orchestra.io.places import Found, Places, locate


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_a_folder_is_found_from_the_documents_place(tmp_path: Path) -> None:
    (tmp_path / "models" / "kv").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "models")
    for source in ("models/kv", "./models/../link/kv", str(tmp_path / "link" / "kv")):
        assert locate(source, tmp_path, "anchor.model") == tmp_path / "models" / "kv"


@pytest.mark.parametrize("source", ["kv", "./kv", "/kv-of-nobody", "a/b/c", "../acme/kv"])
def test_a_folder_that_is_not_there_is_named_with_its_place(tmp_path: Path, source: str) -> None:
    place = (tmp_path / source).resolve()
    message = f"augments.kv.model is {source!r}, but there is no folder {place}."
    with pytest.raises(GraphError, match=exactly(message)):
        locate(source, tmp_path, "augments.kv.model")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "kv").touch()
    with pytest.raises(GraphError, match=r"^anchor\.model is '\./kv', but there is no folder "):
        locate("./kv", tmp_path, "anchor.model")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("a\0b", "embedded null byte"),
        ("x" * 5000, "File name too long"),
        ("~nobody-of-this-name/kv", "Could not determine home directory"),
        ("loop", "Symlink loop from"),
    ],
)
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, source: str, why: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(GraphError) as caught:
        locate(source, tmp_path, "anchor.model")
    assert str(caught.value).startswith(f"anchor.model is {source!r}, which is no folder's name: {why}")


# -- repositories ---------------------------------------------------------------------------------------------------


def snapshot(folder: Path, repo: str = "acme/duo") -> Snapshot:
    """A repository's files, as its cache would hold them."""
    place = folder / f"models--{repo.replace('/', '--')}" / "snapshots" / ("a" * 40)
    place.mkdir(parents=True)
    return Snapshot(origin=Origin(repo=repo, commit="a" * 40), folder=place)


def test_a_folder_comes_before_a_repository_of_its_name(tmp_path: Path) -> None:
    places = Places(folder=tmp_path, hub=lambda repo, _revision, _kind: snapshot(tmp_path / "cache", repo))
    assert places.find("acme/kv", "anchor.model", "model").origin == Origin(repo="acme/kv", commit="a" * 40)
    (tmp_path / "acme/kv").mkdir(parents=True)
    assert places.find("acme/kv", "anchor.model", "model") == Found(path=tmp_path / "acme/kv")


def test_a_tokenizer_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"^anchor\.tokenizer is 'acme/kv', but there is no folder "):
        Places(folder=tmp_path).find("acme/kv", "anchor.tokenizer")


def test_a_folder_has_no_revisions(tmp_path: Path) -> None:
    (tmp_path / "kv").mkdir()
    message = "anchor.revision is 'main', but anchor.model is 'kv', a folder, which has no revisions; drop one of them."
    with pytest.raises(GraphError, match=exactly(message)):
        Places(folder=tmp_path).find("kv", "anchor.model", "model", revision="main", revision_field="anchor.revision")


@pytest.mark.parametrize("source", ["/etc", "~/kv", "..", "../kv", "a/../../kv", "C:\\kv", "file:kv"])
def test_a_document_s_repository_is_not_left_by_a_path(tmp_path: Path, source: str) -> None:
    root = snapshot(tmp_path)
    with pytest.raises(GraphError, match=r", which leads out of acme/duo; "):
        Places(folder=root.folder, root=root).find(source, "anchor.model", "model")


def test_a_document_s_repository_is_not_left_by_a_link(tmp_path: Path) -> None:
    root = snapshot(tmp_path)
    (tmp_path / "kv").mkdir()
    (root.folder / "kv").symlink_to(tmp_path / "kv")
    (root.folder / "own").mkdir()
    places = Places(folder=root.folder, root=root)
    assert places.find("own", "anchor.model", "model") == Found(path=root.folder / "own")
    with pytest.raises(GraphError, match=exactly(f"anchor.model: {tmp_path}/kv leads out of acme/duo.")):
        places.find("kv", "anchor.model", "model")
    (root.folder / "own" / "config.json").symlink_to(tmp_path / "kv")
    message = f"anchor.model: {root.folder}/own/config.json leads out of acme/duo."
    with pytest.raises(GraphError, match=exactly(message)):
        places.find("./own", "anchor.model", "model")
