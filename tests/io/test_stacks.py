import errno
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from orchestra.errors import BundleError
from orchestra.graph import Site
from orchestra.io.bundle import BundleConfig, Identity, read_config
from orchestra.io.checkpoint import file_sha256
from orchestra.io.stacks import read_stack, write_bundle
from tests import folders

ANCHOR = Identity(
    name="digits", fingerprint="a" * 64, model_type="llama", num_layers=3, d_model=14, num_heads=7, vocab_size=97
)
AUGMENT = ANCHOR.model_copy(update={"name": "kv", "fingerprint": "b" * 64, "d_model": 11})
SITES = (Site(augment="kv", augment_layer=2, anchor_layer=1, d_augment=11, d_anchor=14, num_heads=7),)
TENSORS = {"gate": torch.tensor(0.5), "proj": torch.arange(15.0).reshape(3, 5), "out": torch.ones(7, 2).T}
SHAPES = {"gate": (), "proj": (3, 5), "out": (2, 7)}


def write(folder: Path, tensors: dict[str, Tensor] = TENSORS, **more: Any) -> BundleConfig:
    return write_bundle(folder, tensors, sites=SITES, anchor=ANCHOR, augment=AUGMENT, **more)


def read(folder: Path, **changes: Any) -> dict[str, Tensor]:
    return read_stack(folder, **{"anchor": ANCHOR, "augment": AUGMENT, "expected": SHAPES, **changes})


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(BundleError) as caught:
        action()
    return str(caught.value)


def holds(folder: Path, value: float) -> bool:
    """Whether a bundle is whole, and holds this gate."""
    return bool(read(folder)["gate"] == value)


# -- there and back -------------------------------------------------------------------------------------------------


def test_what_was_written_is_read(tmp_path: Path) -> None:
    config = write(tmp_path / "kv", recipe={"steps": 3, "betas": (0.9, 0.99)}, scores={"accuracy": 0.5})
    assert config.recipe == {"steps": 3, "betas": [0.9, 0.99]}
    assert read_config(tmp_path / "kv") == config
    found = read(tmp_path / "kv")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
    assert sorted(os.listdir(tmp_path)) == ["kv"]
    assert sorted(os.listdir(tmp_path / "kv")) == ["README.md", "bridge_config.json", "bridge_model.safetensors"]
    assert "# digits x kv" in (tmp_path / "kv" / "README.md").read_text()


def test_a_bundle_is_written_below_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "c")
    assert holds(tmp_path / "a" / "b" / "c", 0.5)


def test_a_bundle_is_written_into_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "kv").mkdir()
    write(tmp_path / "kv")
    assert holds(tmp_path / "kv", 0.5)


def test_a_bundle_is_written_where_a_link_points(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert holds(tmp_path / "real", 0.5)


def test_an_earlier_bundle_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "kv")
    write(tmp_path / "kv", {**TENSORS, "gate": torch.tensor(2.0)})
    assert holds(tmp_path / "kv", 2.0)
    assert sorted(os.listdir(tmp_path)) == ["kv"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_bundle_has_the_mode_of_any_new_folder(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "kv")
    finally:
        os.umask(before)
    assert (tmp_path / "kv").stat().st_mode & 0o777 == 0o777 & ~mask
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "kv").iterdir()} == {0o666 & ~mask}


def test_everything_reaches_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "kv")
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(handle: int) -> None:
        events.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name.split(".")[0])
        fsync(handle)

    def renamed(self: Path, target: Path) -> Path:
        events.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    write(tmp_path / "kv")
    assert events[:4] == ["bridge_model", "bridge_config", "README", ""]
    assert events[4:] == ["rename", "rename", "rename", tmp_path.name]


def test_a_system_that_cannot_sync_folders_still_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(handle: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuses)
    write(tmp_path / "kv")
    assert holds(tmp_path / "kv", 0.5)


# -- not written ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path, value: float) -> None:
    broken = {**TENSORS, "proj": torch.full((3, 5), value), "gate": torch.tensor(value)}
    message = f"{tmp_path}/kv: not written: the weights hold NaN or infinity in gate, proj."
    assert refusal(lambda: write(tmp_path / "kv", broken)) == message
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ({"path": Path("x")}, "Object of type PosixPath is not JSON serializable"),
        ({"loss": float("nan")}, "Out of range float values are not JSON compliant: nan"),
    ],
)
@pytest.mark.parametrize("field", ["recipe", "scores"])
def test_a_recipe_that_is_not_json_is_not_written(tmp_path: Path, field: str, recipe: Any, why: str) -> None:
    told = refusal(lambda: write(tmp_path / "a" / "kv", **{field: recipe}))
    assert told.startswith(f"{tmp_path}/a/kv: not written: {field} holds something that is not JSON: {why[:40]}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("held", ["notes.txt", ".git", "optimizer.pt"])
@pytest.mark.parametrize("also_a_bundle", [False, True])
def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path, held: str, also_a_bundle: bool) -> None:
    if also_a_bundle:
        write(tmp_path / "kv")
    (tmp_path / "kv").mkdir(exist_ok=True)
    (tmp_path / "kv" / held).write_text("mine")
    before = folders.snapshot(tmp_path)
    message = f"{tmp_path}/kv: not written: it holds {held}, which belongs to no bundle and would be lost."
    assert refusal(lambda: write(tmp_path / "kv")) == message
    assert folders.snapshot(tmp_path) == before


def test_a_readme_alone_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    message = f"{tmp_path}: not written: it holds README.md, which belongs to no bundle and would be lost."
    assert refusal(lambda: write(tmp_path)) == message


def test_a_file_in_the_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kv").write_text("mine")
    assert refusal(lambda: write(tmp_path / "kv")) == f"{tmp_path}/kv: not written: Not a directory."
    assert folders.snapshot(tmp_path) == {"kv": b"mine"}


# -- refused --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write(tmp_path / "kv")
    return tmp_path / "kv"


def rewrite(bundle: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change the tensors of a bundle, and let its config agree."""
    folders.edit_weights(bundle / "bridge_model.safetensors", change)
    folders.edit_json(bundle / "bridge_config.json", weights_sha256=file_sha256(bundle / "bridge_model.safetensors"))


def test_every_tensor_that_does_not_fit_is_listed(bundle: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors["stray"] = tensors.pop("gate")
        tensors["proj"] = torch.ones(5, 3)
        tensors["out"] = torch.ones(2, 7, dtype=torch.int32)

    rewrite(bundle, change)
    assert refusal(lambda: read(bundle)).splitlines() == [
        f"{bundle}: does not fit: the tensor gate is missing.",
        f"{bundle}: does not fit: the tensor stray belongs to no bridge.",
        f"{bundle}: does not fit: the tensor out holds I32, not one of F16, BF16, F32, F64.",
        f"{bundle}: does not fit: the tensor proj has shape (5, 3), not (3, 5).",
    ]


def test_models_and_tensors_that_do_not_fit_are_listed_together(bundle: Path) -> None:
    rewrite(bundle, lambda tensors: tensors.pop("gate"))
    other = AUGMENT.model_copy(update={"fingerprint": "d" * 64, "num_layers": 7})
    assert refusal(lambda: read(bundle, augment=other)).splitlines() == [
        f"{bundle}: does not fit: the augment's num_layers is 7, and it was trained with 3.",
        f"{bundle}: does not fit: the augment's weights are dddddddddddd (kv), "
        "and it was trained with bbbbbbbbbbbb (kv).",
        f"{bundle}: does not fit: the tensor gate is missing.",
    ]


def test_a_flipped_bit_in_the_weights_is_noticed(bundle: Path) -> None:
    path = bundle / "bridge_model.safetensors"
    folders.flip(path, path.stat().st_size - 3)
    assert refusal(lambda: read(bundle)) == (
        f"{bundle}: does not fit: bridge_model.safetensors is not the file "
        "that bridge_config.json names by its SHA-256."
    )


def test_a_flipped_bit_in_the_header_is_noticed(bundle: Path) -> None:
    folders.flip(bundle / "bridge_model.safetensors", 8)
    assert refusal(lambda: read(bundle)) == (
        f"{bundle}/bridge_model.safetensors: has a damaged safetensors header; fetch or save it again."
    )


def test_a_truncated_bundle_is_noticed(bundle: Path) -> None:
    path = bundle / "bridge_model.safetensors"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-4])
    assert refusal(lambda: read(bundle)) == (
        f"{path}: is {size - 4} bytes long, but its header announces {size}; fetch or save it again."
    )


def test_weights_that_are_no_numbers_are_refused(bundle: Path) -> None:
    rewrite(bundle, lambda tensors: (tensors["gate"].fill_(torch.nan), tensors["proj"][0].fill_(torch.inf)))
    message = f"{bundle}/bridge_model.safetensors: holds NaN or infinity in gate, proj."
    assert refusal(lambda: read(bundle)) == message


def test_a_pickle_under_the_right_name_is_never_opened(bundle: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return os.mkdir, (str(bundle / "sprung"),)

    (bundle / "bridge_model.safetensors").write_bytes(pickle.dumps(Trap()))
    assert refusal(lambda: read(bundle)) == (
        f"{bundle}/bridge_model.safetensors: is not a whole safetensors file; fetch or save it again."
    )
    assert not (bundle / "sprung").exists()


def test_nothing_is_written_by_a_refusal(bundle: Path) -> None:
    folders.edit_json(bundle / "bridge_config.json", alignment_version=0)
    before = folders.snapshot(bundle)
    assert refusal(lambda: read(bundle)) == (
        f"{bundle}: does not fit: its alignment version is 0, and this Orchestra's is 1."
    )
    assert folders.snapshot(bundle) == before


def test_a_bundle_on_disk_is_plain_json_and_safetensors(bundle: Path) -> None:
    assert json.loads((bundle / "bridge_config.json").read_text())["format"] == "orchestra/bundle@1"
    assert re.fullmatch("[0-9a-f]{64}", read_config(bundle).weights_sha256)
    assert load_file(bundle / "bridge_model.safetensors").keys() == TENSORS.keys()
