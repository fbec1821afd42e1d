import re
from pathlib import Path

import pytest

from orchestra.errors import GraphError
from orchestra.io.places import locate


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
