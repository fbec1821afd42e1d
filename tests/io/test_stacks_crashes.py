"""Whole or not at all: a crash at any step of a write leaves what was there, and of writers at once one wins, whole."""

import errno
import os
import re
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from orchestra.errors import BundleError
from orchestra.graph import Site
from orchestra.io import stacks
from orchestra.io.bundle import Identity
from orchestra.io.stacks import read_stack, write_bundle
from tests import folders

ANCHOR = Identity(
    name="digits", fingerprint="a" * 64, model_type="llama", num_layers=3, d_model=14, num_heads=7, vocab_size=97
)
AUGMENT = ANCHOR.model_copy(update={"name": "kv", "fingerprint": "b" * 64, "d_model": 11})
SITES = (Site(augment="kv", augment_layer=2, anchor_layer=1, d_augment=11, d_anchor=14, num_heads=7),)


def write(folder: Path, gate: float = 0.5) -> None:
    tensors = {"gate": torch.tensor(gate), "proj": torch.ones(3, 5)}
    write_bundle(folder, tensors, sites=SITES, anchor=ANCHOR, augment=AUGMENT)


def gate(folder: Path) -> float:
    """The gate of a bundle that is whole."""
    return float(read_stack(folder, anchor=ANCHOR, augment=AUGMENT, expected={"gate": (), "proj": (3, 5)})["gate"])


STEPS = {
    "save_file": (stacks, "save_file"),
    "hashing": (stacks, "file_sha256"),
    "the card": (stacks, "card"),
    "writing texts": (Path, "write_text"),
    "mkdir": (Path, "mkdir"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_crash_while_writing_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, earlier: bool, error: BaseException
) -> None:
    if earlier:
        write(tmp_path / "kv")
    before = folders.snapshot(tmp_path)

    def crashes(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(*STEPS[step], crashes)
        if isinstance(error, OSError):
            message = f"{tmp_path}/kv: not written: No space left on device."
            with pytest.raises(BundleError, match=f"^{re.escape(message)}$"):
                write(tmp_path / "kv", 9.0)
        else:
            with pytest.raises(KeyboardInterrupt):
                write(tmp_path / "kv", 9.0)
    assert folders.snapshot(tmp_path) == before
    assert not earlier or gate(tmp_path / "kv") == 0.5


@pytest.mark.parametrize("fatal", [1, 2, 3])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_crash_while_folders_change_places_leaves_the_earlier_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fatal: int, error: BaseException
) -> None:
    write(tmp_path / "kv")
    before = folders.snapshot(tmp_path)
    rename, calls = Path.rename, 0

    def crashes(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == fatal:
            raise error
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crashes)
        with pytest.raises((BundleError, KeyboardInterrupt)):
            write(tmp_path / "kv", 9.0)
    assert calls >= fatal
    assert folders.snapshot(tmp_path) == before
    assert gate(tmp_path / "kv") == 0.5


@pytest.mark.parametrize("earlier", [False, True])
def test_of_writers_at_once_one_leaves_a_whole_bundle(tmp_path: Path, earlier: bool) -> None:
    if earlier:
        write(tmp_path / "kv")
    failed: list[Exception] = []

    def work(value: float) -> None:
        try:
            for _ in range(5):
                write(tmp_path / "kv", value)
        except (BundleError, OSError) as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(value,)) for value in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert gate(tmp_path / "kv") in (1.0, 2.0, 3.0)
    assert os.listdir(tmp_path) == ["kv"]


def test_writers_of_one_place_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = threading.Semaphore(0), threading.Event()

    def waits(tensors: dict[str, torch.Tensor], path: Path) -> None:
        begun.release()
        assert go.wait(10)
        save_file(tensors, path)

    monkeypatch.setattr(stacks, "save_file", waits)
    threads = [threading.Thread(target=write, args=(tmp_path / "kv", value)) for value in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    assert begun.acquire(timeout=10)
    assert not begun.acquire(timeout=0.2)  # the other one has not begun
    go.set()
    for thread in threads:
        thread.join()
    assert begun.acquire(timeout=10)
    assert os.listdir(tmp_path) == ["kv"]


def test_a_faster_writer_is_overwritten_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "kv")
    rename, calls = Path.rename, 0

    def overtaken(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == 2:  # between the two steps of a swap the other writer takes the older bundle away
            rename(tmp_path / "kv", tmp_path / "elsewhere")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", overtaken)
        write(tmp_path / "kv", 9.0)
    assert gate(tmp_path / "kv") == 9.0
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "kv"]
