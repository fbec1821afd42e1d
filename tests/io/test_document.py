import json
import re
from pathlib import Path

import pytest

from orchestra.errors import HubError, LockError, SpecError
from orchestra.io.document import read
from orchestra.io.hub import Online
from tests import papers
from tests.hubserver import Hub


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_a_document_from_memory_starts_where_one_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = read(papers.document())
    assert (found.folder, found.path, found.root, found.lock) == (tmp_path, None, None, None)


def test_a_document_of_a_file_starts_at_its_folder(tmp_path: Path) -> None:
    path = papers.graph_file(tmp_path)
    (tmp_path / "link").symlink_to(path)
    assert read(tmp_path / "link").folder == tmp_path
    assert read(str(path)).path == path


def test_a_document_of_the_hub_starts_at_its_repository(hub: Hub) -> None:
    commit = hub.add("acme/duo", {"graph.json": json.dumps(papers.document()).encode()})
    found = read("acme/duo", hub=Online())
    assert found.root is not None
    assert (found.root.origin.commit, found.folder) == (commit, found.root.folder)
    assert read(Path("acme/duo"), hub=Online()) == found


def test_a_file_comes_before_a_repository_of_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    papers.graph_file(tmp_path).rename(tmp_path / "acme/duo")
    monkeypatch.chdir(tmp_path)
    assert read("acme/duo").root is None


def test_a_repository_without_a_graph_is_none(hub: Hub) -> None:
    hub.add("acme/kv", {"config.json": b"{}"})
    message = "acme/kv: holds no graph.json, so that it is no graph's repository."
    with pytest.raises(HubError, match=exactly(message)):
        read("acme/kv", hub=Online())


def test_only_a_repository_has_revisions(tmp_path: Path) -> None:
    path = papers.graph_file(tmp_path)
    message = f"revision is 'v1', but {path}, a file, has no revisions; only repositories on the Hub have."
    with pytest.raises(SpecError, match=exactly(message)):
        read(path, revision="v1")
    message = "revision is 'v1', but a document from memory has no revisions; only repositories on the Hub have."
    with pytest.raises(SpecError, match=exactly(message)):
        read(papers.document(), revision="v1")


def test_a_lock_that_is_damaged_is_refused_unless_it_is_not_looked_for(tmp_path: Path) -> None:
    path = papers.graph_file(tmp_path)
    (tmp_path / f"{path.stem}.lock.json").write_text("{nope")
    with pytest.raises(LockError, match=exactly(f"{tmp_path}/{path.stem}.lock.json: is not JSON.")):
        read(path)
    assert read(path, locked=False).lock is None
