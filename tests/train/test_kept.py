"""Taps on disk: a training on them learns the same, and what is not whole, or not of these records, is not used."""

import re
import shutil
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import orchestra
from orchestra.errors import TrainError
from orchestra.runtime.below import Below
from orchestra.runtime.model import ComposedModel
from orchestra.train import TrainResult, TrainSpec, kept, train
from orchestra.train.batches import PADDING
from orchestra.train.encode import Example
from orchestra.train.interrupt import Wish
from orchestra.train.kept import Keeping, collate_kept, keep, key
from orchestra.train.trainer import BridgeTrainer
from tests.tiny import watching

EXAMPLES = tuple(Example(ids=(1, *range(5, 7 + index), 2), num_prompt=1 + index % 3) for index in range(5))


@pytest.fixture
def model(graph: Path) -> ComposedModel:
    """Only tetum is on: its bridge is after anchor layer 1."""
    composed = orchestra.load(graph)
    composed.disable("kv")
    return composed


def how(folder: Path, **changes: Any) -> Keeping:
    usual = {"folder": folder, "pad_id": 0, "batch_size": 2, "bf16": False, "computing": nullcontext, "wish": Wish()}
    return Keeping(**{**usual, **changes})


def files(folder: Path) -> list[Path]:
    """All files, those under way too."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def learnt(result: TrainResult) -> dict[str, torch.Tensor]:
    (bundle,) = result.bundles.values()
    return load_file(bundle / "bridge_model.safetensors")


def spec(pairs: Path, output: Path, **changes: Any) -> TrainSpec:
    """Seven steps, of which five are an epoch; the last of an epoch is filled up."""
    short: dict[str, Any] = {"steps": 7, "batch_size": 2, "gradient_accumulation": 2, "learning_rate": 1e-2}
    return TrainSpec(data=pairs, output=output, augments=("tetum",), **{**short, "log_every": 1, **changes})


def test_a_training_on_kept_taps_learns_the_same_also_when_it_is_stopped(
    graph: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(graph, spec(pairs, tmp_path / "whole"))
    on_taps, model = spec(pairs, tmp_path / "kept", keep_taps=tmp_path / "taps"), orchestra.load(graph)
    with monkeypatch.context() as patch, watching() as runs:
        stop_after(3, patch)
        with pytest.raises(
            KeyboardInterrupt, match=r"^stopped after step 3 of 7; the same command goes on from there.$"
        ):
            train(model, on_taps)
    assert runs(model.augment("tetum")) == 11  # 18 records in twos, one batch to tell their size, one to check
    made = {path: path.stat().st_mtime_ns for path in files(tmp_path / "taps")}
    with watching() as runs:
        resumed = train(model, on_taps)
    assert runs(model.augment("tetum")) == 1  # to check
    assert {path: path.stat().st_mtime_ns for path in files(tmp_path / "taps")} == made
    assert resumed.resumed_from == 3
    assert list(resumed.losses.values()) == pytest.approx(list(whole.losses.values()), abs=1e-5)
    for name, weight in learnt(whole).items():
        torch.testing.assert_close(learnt(resumed)[name], weight, rtol=0, atol=1e-5)


def test_in_bf16_and_recomputing_too(graph: Path, pairs: Path, tmp_path: Path) -> None:
    odd: dict[str, Any] = {"steps": 4, "bf16": True, "gradient_checkpointing": True}
    whole = train(graph, spec(pairs, tmp_path / "whole", **odd))
    result = train(graph, spec(pairs, tmp_path / "kept", keep_taps=tmp_path / "taps", **odd))
    assert list(result.losses.values()) == pytest.approx(list(whole.losses.values()), abs=2e-3)
    for name, weight in learnt(whole).items():
        torch.testing.assert_close(learnt(result)[name], weight, rtol=0, atol=5e-3)


def stop_after(steps: int, patch: pytest.MonkeyPatch) -> None:
    """Have somebody ask for an end in the middle of a step of two forwards."""
    original, seen = BridgeTrainer.training_step, []

    def counted(self: Any, *args: Any) -> Any:
        seen.append(self)
        self._wish.stop = len(seen) == 2 * steps
        return original(self, *args)

    patch.setattr(BridgeTrainer, "training_step", counted)


def test_each_record_gets_its_own_taps_whatever_the_files(
    model: ComposedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_SHARD_RECORDS", 2)
    found = keep(model, EXAMPLES, how(tmp_path))
    assert [path.name for path in files(tmp_path)] == ["0-2.safetensors", "2-4.safetensors", "4-6.safetensors"]
    for index in (*range(5), PADDING):
        example, taps = found[index]
        assert example == (EXAMPLES[index] if index != PADDING else Example(ids=(1,), num_prompt=1))
        (alone,) = model.taps(torch.tensor([example.ids]))
        assert taps.keys() == alone.keys() == {("tetum", 1), ("anchor", 1)}
        for name, hidden in alone.items():
            torch.testing.assert_close(taps[name], hidden, rtol=0, atol=1e-5)
    batch = collate_kept([found[1], found[PADDING]], 9)
    assert batch["input_ids"].tolist() == [list(EXAMPLES[1].ids), [1, 9, 9, 9, 9]]
    assert [len(taps["tetum", 1]) for taps in batch["taps"]] == [5, 1]


def test_a_half_written_shard_is_made_again(model: ComposedModel, tmp_path: Path) -> None:
    keep(model, EXAMPLES, how(tmp_path))
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    keep(model, EXAMPLES, how(tmp_path))
    assert files(tmp_path) == [path]
    assert path.read_bytes() == whole


def test_making_taps_can_be_stopped_and_goes_on_with_the_next_shard(
    model: ComposedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "SHARD_BYTES", 1)
    wish, write = Wish(), kept._write

    def stopping(*args: Any) -> None:
        write(*args)
        wish.stop = len(files(tmp_path)) == 3

    monkeypatch.setattr(kept, "_write", stopping)
    with pytest.raises(
        KeyboardInterrupt, match=r"^stopped while taps were made; the same command goes on from there.$"
    ):
        keep(model, EXAMPLES, how(tmp_path, wish=wish))
    made = {path: path.stat().st_mtime_ns for path in files(tmp_path)}
    assert len(made) == 3
    keep(model, EXAMPLES, how(tmp_path))
    assert len(files(tmp_path)) == 6
    assert all(path.stat().st_mtime_ns == before for path, before in made.items())


def test_several_processes_make_a_share_each(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SHARD_BYTES", 1)
    wait = threading.Barrier(2).wait
    written: dict[str, int] = {}
    write = kept._write

    def noting(path: Path, rows: Any) -> None:
        written[path.name] = threading.get_ident()
        write(path, rows)

    monkeypatch.setattr(kept, "_write", noting)
    models = [orchestra.load(graph) for _ in range(2)]
    threads = [
        threading.Thread(target=keep, args=(each, EXAMPLES, how(tmp_path, rank=rank, world_size=2, wait=wait)))
        for rank, each in enumerate(models)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = threads[0].ident, threads[1].ident
    assert [written[path.name] for path in files(tmp_path)] == [first, second] * 3


def test_whatever_taps_depend_on_is_in_their_name(model: ComposedModel) -> None:
    names = [key(model, EXAMPLES, bf16=False), key(model, EXAMPLES, bf16=True)]
    names.append(key(model, EXAMPLES[1:], bf16=False))
    names.append(key(model, (*EXAMPLES[:-1], Example(ids=EXAMPLES[-1].ids, num_prompt=4)), bf16=False))
    model.enable("kv")
    names.append(key(model, EXAMPLES, bf16=False))
    model.disable("tetum")
    names.append(key(model, EXAMPLES, bf16=False))
    assert len(set(names)) == 6


def test_a_changed_weight_template_or_tapped_layer_gives_other_taps_and_a_changed_bridge_does_not(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(graph.parent, tmp_path / "graph"))
    document = (folder / "graph.json").read_text()
    names = []

    def changed(old: str = "", new: str = "") -> ComposedModel:
        (folder / "graph.json").write_text(document.replace(old, new))
        composed = orchestra.load(folder / "graph.json")
        composed.disable("kv")
        names.append(key(composed, EXAMPLES, bf16=False))
        return composed

    model = changed()
    changed('"gate": "token"', '"gate": "none"')
    assert names.pop() == names[0]
    changed('[{"augment_layer": 1, "anchor_layer": 1}]', '[{"augment_layer": 0, "anchor_layer": 1}]')
    changed('[{"augment_layer": 1, "anchor_layer": 1}]', '[{"augment_layer": 1, "anchor_layer": 0}]')
    template = model.identity("tetum").model_copy(update={"template": {"<eos>": "a"}})
    monkeypatch.setattr(model, "_identify", lambda name: template)
    names.append(key(model, EXAMPLES, bf16=False))
    weights = folder / "tetum" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    changed()
    assert len(set(names)) == len(names) == 5


def test_what_has_no_room_is_refused_before_it_is_made(
    model: ComposedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1234))
    message = (
        f"keep_taps: the taps of 6 records take about 4.46 kB, and {tmp_path} has room for 1.23 kB: give a folder with "
        "more, or train without."
    )
    with pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
        keep(model, EXAMPLES, how(tmp_path, batch_size=6))
    assert files(tmp_path) == []
    monkeypatch.undo()
    keep(model, EXAMPLES, how(tmp_path, batch_size=6))
    folder = tmp_path / key(model, EXAMPLES, bf16=False)
    assert f"keeping the taps of 6 records, about 4.46 kB, in {folder}\n" in capsys.readouterr().err
    assert sum(tensor.nbytes for tensor in load_file(files(tmp_path)[0]).values()) - 2 * 6 * 8 == 4464


def test_a_folder_that_cannot_be_used_is_named(model: ComposedModel, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    folder = tmp_path / "taken" / key(model, EXAMPLES, bf16=False)
    with pytest.raises(TrainError, match=f"^{re.escape(f'keep_taps: {folder} cannot be used: Not a directory.')}$"):
        keep(model, EXAMPLES, how(tmp_path / "taken"))


def test_an_anchor_that_does_not_go_on_from_its_taps_is_found_out(
    model: ComposedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Below, "in_place_of", lambda _, hidden: -hidden)
    message = (
        r"^keep_taps: the loss of the first records is \d\.\d{6} on their taps and \d\.\d{6} without: LlamaForCausalLM "
        r"does not go on from the middle as other models do; train without\.$"
    )
    with pytest.raises(TrainError, match=message):
        keep(model, EXAMPLES, how(tmp_path))
