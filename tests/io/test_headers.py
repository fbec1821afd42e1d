import json
import re
from pathlib import Path

import pytest

from orchestra.errors import ModelError
from orchestra.graph import Origin
from orchestra.io.headers import keep_header, kept_headers, remote_names

ORIGIN = Origin(repo="acme/kv", commit="a" * 40)
HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}).encode()
SIZE = 8 + len(HEADER) + 12


def index(folder: Path, count: int) -> Path:
    """A repository without weights, whose index names so many files."""
    named = {f"w{number}": f"m-{number:05}.safetensors" for number in range(count)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": named}))
    return folder


def test_a_header_that_is_kept_says_what_its_file_would() -> None:
    assert kept_headers(ORIGIN, ["m.safetensors"]) is None
    keep_header(ORIGIN, "m.safetensors", HEADER, SIZE)
    (found,) = kept_headers(ORIGIN, ["m.safetensors"]) or []
    assert (found.shapes, found.num_params, found.weight_bytes) == ({"weight": (3,)}, 3, 12)


def test_all_headers_are_known_or_none_is() -> None:
    keep_header(ORIGIN, "m-1.safetensors", HEADER, SIZE)
    assert kept_headers(ORIGIN, ["m-1.safetensors", "m-2.safetensors"]) is None


def test_another_commit_and_another_repository_have_headers_of_their_own() -> None:
    keep_header(ORIGIN, "m.safetensors", HEADER, SIZE)
    for other in (Origin(repo="acme/kv", commit="b" * 40), Origin(repo="acme/digits", commit="a" * 40)):
        assert kept_headers(other, ["m.safetensors"]) is None


@pytest.mark.parametrize(
    ("header", "size", "why"),
    [
        (HEADER, SIZE - 1, f"is {SIZE - 1} bytes long, but its header announces {SIZE}; fetch or save it again."),
        (b"{", 9, "has a damaged safetensors header; fetch or save it again."),
        (b'{"w": 1, "w": 1}', 24, "has a damaged safetensors header; fetch or save it again."),
    ],
)
def test_what_is_no_header_of_its_file_is_not_kept(own_cache: Path, header: bytes, size: int, why: str) -> None:
    with pytest.raises(ModelError, match=f"^{re.escape(f'acme/kv: m.safetensors: {why}')}$"):
        keep_header(ORIGIN, "m.safetensors", header, size)
    assert list(own_cache.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '{"size": "1", "header": "{}"}'])
def test_what_is_damaged_where_it_is_kept_is_read_again(own_cache: Path, text: str) -> None:
    keep_header(ORIGIN, "m.safetensors", HEADER, SIZE)
    next(own_cache.rglob("m.safetensors.json")).write_text(text)
    assert kept_headers(ORIGIN, ["m.safetensors"]) is None


def test_the_names_of_weights_are_those_of_the_index(tmp_path: Path) -> None:
    assert remote_names(ORIGIN, tmp_path) == ["model.safetensors"]
    assert remote_names(ORIGIN, index(tmp_path, 2)) == ["m-00000.safetensors", "m-00001.safetensors"]


def test_an_index_that_names_files_without_end_is_refused(tmp_path: Path) -> None:
    assert len(remote_names(ORIGIN, index(tmp_path, 1000))) == 1000
    with pytest.raises(ModelError, match=r"^acme/kv: its index names 1,001 files; 1,000 are read at most\.$"):
        remote_names(ORIGIN, index(tmp_path, 1001))
