"""Checkpoints: whole or passed over, of this training or refused."""

import re
from pathlib import Path

import pytest

from orchestra.errors import TrainError
from orchestra.train import checkpoint
from orchestra.train.checkpoint import Checkpoint

RUN = {"seed": 3, "steps": 13}


def written(root: Path, step: int) -> Path:
    folder = root / f"checkpoint-{step}"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"12345")
    (folder / "b.bin").write_bytes(b"6789")
    checkpoint.seal(folder, RUN)
    return folder


def test_the_newest_is_the_one_of_the_highest_step(tmp_path: Path) -> None:
    for step in (9, 11, 2):
        written(tmp_path, step)
    (tmp_path / "checkpoint-old").mkdir()
    assert checkpoint.newest(tmp_path, RUN) == Checkpoint(folder=tmp_path / "checkpoint-11", step=11)


def test_no_folder_is_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "none", RUN) is None


@pytest.mark.parametrize("harm", ["truncated", "flipped", "missing", "no seal", "half a seal", "unsealed"])
def test_a_checkpoint_that_was_cut_off_is_passed_over(tmp_path: Path, harm: str) -> None:
    whole, cut = written(tmp_path, 2), written(tmp_path, 4)
    match harm:
        case "truncated":
            (cut / "b.bin").write_bytes(b"678")
        case "flipped":
            (cut / "b.bin").write_bytes(b"6780")
        case "missing":
            (cut / "a.bin").unlink()
        case "no seal":
            (cut / checkpoint.SEAL_FILE).unlink()
        case "half a seal":
            (cut / checkpoint.SEAL_FILE).write_text((cut / checkpoint.SEAL_FILE).read_text()[:40])
        case "unsealed":
            checkpoint.unseal(cut)
    assert checkpoint.newest(tmp_path, RUN) == Checkpoint(folder=whole, step=2)


def test_a_checkpoint_of_another_training_is_refused_with_every_difference(tmp_path: Path) -> None:
    folder = written(tmp_path, 5)
    message = (
        f'{folder}: is a checkpoint of another training: data was null and is "f"; seed was 3 and is 4. Give the '
        "settings it was made with, or another output; or discard it with resume=False (--no-resume)."
    )
    with pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
        checkpoint.newest(tmp_path, {**RUN, "seed": 4, "data": "f"})


def test_older_checkpoints_go_and_the_newest_stay(tmp_path: Path) -> None:
    for step in (2, 11, 9):
        written(tmp_path, step)
    checkpoint.keep_newest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-11", "checkpoint-9"]
