import hashlib
import json
import os
import re
import threading
from pathlib import Path

import pytest

from orchestra.errors import ModelError
from orchestra.io import checkpoint
from orchestra.io.checkpoint import (
    cache_folder,
    file_sha256,
    fingerprint,
    read_json,
    remembered,
    remembered_sha256,
    weight_files,
    write_atomically,
)

INDEX = "model.safetensors.index.json"


def write(path: Path, content: bytes = b"weights", *, age_s: int = 10) -> Path:
    """A file that was changed a while ago."""
    path.write_bytes(content)
    then = path.stat().st_mtime_ns - age_s * 1_000_000_000
    os.utime(path, ns=(then, then))
    return path


def shards(folder: Path, *names: object) -> Path:
    (folder / INDEX).write_text(json.dumps({"weight_map": {f"w{i}": name for i, name in enumerate(names)}}))
    return folder / INDEX


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


# -- which files ----------------------------------------------------------------------------------------------------


def test_one_file_is_the_weights(tmp_path: Path) -> None:
    assert weight_files(tmp_path := write(tmp_path / "model.safetensors").parent) == [tmp_path / "model.safetensors"]


def test_shards_come_once_each_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path / "b.safetensors")
    write(tmp_path / "a.safetensors")
    shards(tmp_path, "b.safetensors", "a.safetensors", "b.safetensors")
    assert weight_files(tmp_path) == [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]


def test_one_file_goes_before_shards_as_transformers_has_it(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors")
    shards(tmp_path, "a.safetensors")
    write(tmp_path / "model.safetensors")
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=exactly(f"{tmp_path}: holds no model.safetensors.")):
        weight_files(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "last.ckpt"])
def test_pickles_alone_are_refused_by_name(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    message = f"{tmp_path}: holds only pickled weights ({name}), which are never loaded; save it as safetensors."
    with pytest.raises(ModelError, match=exactly(message)):
        weight_files(tmp_path)


def test_a_pickle_beside_safetensors_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "pytorch_model.bin")
    write(tmp_path / "model.safetensors")
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]


def test_an_adapter_is_refused_even_beside_weights(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    message = (
        f"{tmp_path}: holds an adapter (adapter_config.json); merge it into its model, and name the folder of that."
    )
    with pytest.raises(ModelError, match=exactly(message)):
        weight_files(tmp_path)


def test_missing_shards_are_all_named(tmp_path: Path) -> None:
    write(tmp_path / "b.safetensors")
    shards(tmp_path, "c.safetensors", "b.safetensors", "a.safetensors")
    message = f"{tmp_path}: holds no a.safetensors, c.safetensors, though {INDEX} names it."
    with pytest.raises(ModelError, match=exactly(message)):
        weight_files(tmp_path)


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/passwd", "..", "sub/a.safetensors", "."])
def test_a_shard_outside_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    index = shards(tmp_path, name)
    with pytest.raises(ModelError, match=exactly(f"{index}: names a shard outside its folder: {name!r}.")):
        weight_files(tmp_path)


@pytest.mark.parametrize("content", [{}, {"weight_map": []}, {"weight_map": {}}, {"weight_map": {"a": 3}}])
def test_an_index_that_is_none_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / INDEX).write_text(json.dumps(content))
    message = f"{tmp_path / INDEX}: is not a safetensors index; fetch or save it again."
    with pytest.raises(ModelError, match=exactly(message)):
        weight_files(tmp_path)


# -- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{nope", "{path}: is not JSON."),
        (b'"\xff"', "{path}: is not JSON."),
        (b"[" * 100_000, "{path}: is not JSON."),
        (b"[1]", "{path}: is not a JSON object."),
    ],
)
def test_what_is_no_object_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = write(tmp_path / "config.json", content)
    with pytest.raises(ModelError, match=exactly(told.format(path=path))):
        read_json(path)


def test_a_file_that_is_not_there_is_named_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=exactly(f"{tmp_path}: holds no config.json.")):
        read_json(tmp_path / "config.json")


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ModelError, match=exactly(f"{tmp_path}/config.json: cannot be read: Is a directory.")):
        read_json(tmp_path / "config.json")


# -- fingerprints ---------------------------------------------------------------------------------------------------


def test_the_fingerprint_of_one_file_is_its_sha256(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", b"abc")
    assert fingerprint(tmp_path) == hashlib.sha256(b"abc").hexdigest()


def test_the_fingerprint_of_shards_is_that_of_their_digests(tmp_path: Path) -> None:
    shards(tmp_path, "b", "a")
    write(tmp_path / "a", b"A")
    write(tmp_path / "b", b"B")
    digests = [hashlib.sha256(content).hexdigest() for content in (b"A", b"B")]
    assert fingerprint(tmp_path) == hashlib.sha256("\n".join(digests).encode()).hexdigest()


def test_a_file_longer_than_a_chunk_is_hashed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_CHUNK_BYTES", 3)
    assert file_sha256(write(tmp_path / "w", b"0123456789")) == hashlib.sha256(b"0123456789").hexdigest()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=exactly(f"{tmp_path}: cannot be read: Is a directory.")):
        file_sha256(tmp_path)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read through, in order."""
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(checkpoint, "file_sha256", counted)
    return read


def test_a_file_is_hashed_once(tmp_path: Path, hashed: list[Path]) -> None:
    path = write(tmp_path / "w")
    assert remembered_sha256(path) == remembered_sha256(path) == file_sha256(path)
    assert hashed == [path]


def test_a_file_is_known_by_any_of_its_paths(tmp_path: Path, hashed: list[Path]) -> None:
    path = write(tmp_path / "w")
    (tmp_path / "link").symlink_to(path)
    assert remembered_sha256(path) == remembered_sha256(tmp_path / "link")
    assert len(hashed) == 1


def test_a_change_of_the_same_length_at_another_time_is_noticed(tmp_path: Path) -> None:
    before = remembered_sha256(write(tmp_path / "w", b"one", age_s=20))
    assert remembered_sha256(write(tmp_path / "w", b"two", age_s=10)) != before


def test_a_change_of_length_at_the_same_time_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "w", b"one")
    then = path.stat().st_mtime_ns
    before = remembered_sha256(path)
    path.write_bytes(b"longer")
    os.utime(path, ns=(then, then))
    assert remembered_sha256(path) != before


def test_a_file_changed_just_now_is_not_remembered_because_it_may_change_again(
    tmp_path: Path, hashed: list[Path]
) -> None:
    path = write(tmp_path / "w", age_s=0)
    assert remembered_sha256(path) == remembered_sha256(path)
    assert len(hashed) == 2
    assert not (cache_folder() / "sha256.json").exists()


def test_one_file_takes_one_entry_however_often_it_changes(tmp_path: Path) -> None:
    for age_s in (50, 40, 30):
        remembered_sha256(write(tmp_path / "w", age_s=age_s))
    assert len(json.loads((cache_folder() / "sha256.json").read_text())) == 1


@pytest.mark.parametrize(
    "content", ["{nope", "[]", "[" * 100_000, '{"PATH": "a"}', '{"PATH": {"sha256": 3}}', '"\\ud800"']
)
def test_a_damaged_cache_only_costs_time(tmp_path: Path, hashed: list[Path], content: str) -> None:
    path = write(tmp_path / "w")
    (cache_folder() / "sha256.json").write_text(content.replace("PATH", str(path)))
    assert remembered_sha256(path) == file_sha256(path)
    assert remembered_sha256(path) == file_sha256(path)
    assert len(hashed) == 1


def test_a_remembered_digest_that_is_no_text_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "w")
    remembered_sha256(path)
    cache = cache_folder() / "sha256.json"
    known = json.loads(cache.read_text())
    known[str(path.resolve())]["sha256"] = None
    cache.write_text(json.dumps(known))
    assert remembered_sha256(path) == file_sha256(path)


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRA_CACHE", str(write(tmp_path / "a file") / "sub"))
    path = write(tmp_path / "w")
    assert remembered_sha256(path) == file_sha256(path)


def test_no_home_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRA_CACHE", "~nobody-of-this-name/cache")
    path = write(tmp_path / "w")
    assert remembered_sha256(path) == file_sha256(path)


def test_the_cache_lies_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "orchestra"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "orchestra"


def test_a_cache_that_is_interrupted_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered_sha256(write(tmp_path / "w"))
    before = (cache_folder() / "sha256.json").read_bytes()

    def fails(self: Path, target: Path) -> Path:
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", fails)
    remembered_sha256(write(tmp_path / "other"))
    assert (cache_folder() / "sha256.json").read_bytes() == before


def test_many_at_once_leave_a_whole_cache_and_right_digests(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"w{index}", f"{index}".encode()) for index in range(23)]
    wrong: list[Path] = []

    def work() -> None:
        wrong.extend(path for path in paths if remembered_sha256(path) != file_sha256(path))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert json.loads((cache_folder() / "sha256.json").read_text())
    assert [path.name for path in cache_folder().iterdir()] == ["sha256.json"]


# -- writing --------------------------------------------------------------------------------------------------------


def test_a_text_is_written_with_the_mode_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "text")
    (tmp_path / "b").write_text("text")
    assert (tmp_path / "a").read_text() == "text"
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_failed_write_leaves_the_older_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")

    def fails(self: Path, target: Path) -> Path:
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match=exactly("no")):
        write_atomically(tmp_path / "a", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_writers_at_the_same_time_do_not_touch_each_others_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, others = Path.replace, ["second"]

    def meets_another(self: Path, target: Path) -> Path:
        if others:
            write_atomically(tmp_path / "a", others.pop())
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", meets_another)
    write_atomically(tmp_path / "a", "first")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "first"}


def test_each_digest_of_a_file_is_remembered_by_its_name_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    asked: list[str] = []

    def digest(name: str) -> str:
        def compute(_: Path) -> str:
            asked.append(name)
            return f"{name} {len(asked)}"

        return remembered(path, name, compute)

    assert [digest("a"), digest("b"), digest("a"), digest("b")] == ["a 1", "b 2", "a 1", "b 2"]
    path.write_bytes(b"other")
    os.utime(path, (2, 2))
    assert [digest("b"), digest("a"), digest("a")] == ["b 3", "a 4", "a 4"]
