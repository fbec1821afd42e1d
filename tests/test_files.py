import errno
import os
import re
from pathlib import Path

import pytest

from orchestra.files import check_size, read_text, repeated, strict_json


def test_a_text_up_to_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("épée")
    assert read_text(tmp_path / "a", 6) == "épée"


def test_a_longer_text_is_not_read_and_both_lengths_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1009))
    with pytest.raises(OSError, match="it is 1,009 bytes long, and 1,008 are read at most") as caught:
        read_text(tmp_path / "a", 1008)
    assert caught.value.errno == errno.EFBIG


def test_a_text_that_grows_while_it_is_opened_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(bytes(7))
    monkeypatch.setattr("orchestra.files.check_size", lambda *_: None)
    with pytest.raises(OSError, match="it is 6 bytes long, and 5 are read at most"):
        read_text(tmp_path / "a", 5)


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(OSError, match="it is a pipe, a socket or a device, and no file"):
            check_size(tmp_path / name, 7)
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        check_size(tmp_path, 7)
    with pytest.raises(FileNotFoundError):
        check_size(tmp_path / "none", 7)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "a", 7)


def test_json_says_one_thing_to_every_reader() -> None:
    assert strict_json('{"a": [1, {"b": null}], "c": 1e3}') == {"a": [1, {"b": None}], "c": 1000.0}
    for text, told in {
        '{"a": 1, "b": {"c": 1, "c": 1}}': '"c" stands twice in one object',
        '{"a": NaN}': "it holds NaN, which is no number of JSON",
        "[-Infinity]": "it holds -Infinity, which is no number of JSON",
    }.items():
        with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
            strict_json(text)


def test_names_that_are_repeated_are_told_once() -> None:
    assert repeated(["b", "a", "b", "c", "a", "b"]) == ["b", "a"]
