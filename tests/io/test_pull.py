import errno
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import orchestra
from orchestra.errors import HubError, SpecError
from orchestra.io.hub import Online
from orchestra.io.pull import unpack
from tests import hubserver
from tests.hubserver import Hub


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def duo(hub: Hub, parts: Path, **kv: Any) -> dict[str, bytes]:
    """The files of a graph's repository, which is put on the Hub."""
    fields = {"model": "acme/kv", "bridges": "./bridges/kv", **kv}
    content = {"format": "orchestra/graph@1", "anchor": {"model": "acme/anchor"}, "augments": {"kv": fields}}
    bundle = {f"bridges/kv/{name}": data for name, data in hubserver.files(parts / "kv-bundle").items()}
    files = {"graph.json": json.dumps(content).encode(), "README.md": b"card", **bundle}
    hub.add("acme/duo", {**files, "train.py": b"code"})
    return files


def pull(repo: str, folder: Path) -> None:
    unpack(Online()(repo, None, "graph"), folder)


def test_a_graph_is_copied_whole_and_loads_where_it_lies(hosted: Hub, parts: Path, tmp_path: Path) -> None:
    files = duo(hosted, parts)
    pull("acme/duo", tmp_path / "mine")
    assert hubserver.files(tmp_path / "mine") == files
    assert not any(path.is_symlink() for path in (tmp_path / "mine").rglob("*"))
    assert orchestra.load(tmp_path / "mine/graph.json").active == ("kv",)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_bundle_is_copied_likewise(hosted: Hub, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    pull("acme/anchor-x-kv", tmp_path / "mine")
    assert hubserver.files(tmp_path / "mine") == hubserver.files(parts / "kv-bundle")


@pytest.mark.parametrize("kind", ["full folder", "file"])
def test_what_is_there_already_is_not_overwritten(hosted: Hub, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "mine"
    (folder if kind == "file" else folder / "notes").parent.mkdir(exist_ok=True)
    (folder if kind == "file" else folder / "notes").write_text("mine")
    message = f"{folder}: not written: it is there already; name a folder that is not, or empty."
    with pytest.raises(HubError, match=exactly(message)):
        pull("acme/anchor-x-kv", folder)


def test_what_would_lead_elsewhere_from_a_folder_of_mine_is_refused(hosted: Hub, parts: Path, tmp_path: Path) -> None:
    duo(hosted, parts, bridges="../../secret", tokenizer="/etc")
    with pytest.raises(HubError) as caught:
        pull("acme/duo", tmp_path / "mine")
    assert str(caught.value).splitlines() == [
        "acme/duo: augments.kv.tokenizer is '/etc', which leads out of it.",
        "acme/duo: augments.kv.bridges is '../../secret', which leads out of it.",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_link_out_of_the_cache_is_not_copied(hosted: Hub, parts: Path, tmp_path: Path) -> None:
    duo(hosted, parts)
    snapshot = Online()("acme/duo", None, "graph")
    (tmp_path / "secret.txt").write_text("secret")
    (snapshot.folder / "notes.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(HubError, match=exactly("acme/duo: notes.txt leads out of it.")):
        unpack(snapshot, tmp_path / "mine")


def test_what_is_neither_graph_nor_bundle_is_refused(hosted: Hub, tmp_path: Path) -> None:
    message = "acme/kv: holds neither graph.json nor bridge_config.json, so that it is no graph and no bundle."
    with pytest.raises(HubError, match=exactly(message)):
        pull("acme/kv", tmp_path / "mine")
    hosted.add("acme/broken", {"graph.json": b"{}"})
    with pytest.raises(SpecError, match="format is missing"):
        pull("acme/broken", tmp_path / "mine")


def test_a_copy_that_breaks_off_leaves_nothing(hosted: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copyfile

    def full(source: Path, target: Path) -> None:
        if source.name == "bridge_model.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(HubError, match=exactly(f"{tmp_path}/mine: not written: No space left on device.")):
        pull("acme/anchor-x-kv", tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_leaves_nothing(hosted: Hub, parts: Path, tmp_path: Path) -> None:
    duo(hosted, parts)
    (tmp_path / "file").touch()
    with pytest.raises(HubError, match=r"mine: not written: Not a directory\.$"):
        pull("acme/duo", tmp_path / "file" / "mine")
