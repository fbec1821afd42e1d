import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestra.io.adapter import add_adapter
from orchestra.io.merge import merge
from tests import folders, mergers, tiny
from tests.mergers import mergekits, same

pytestmark = pytest.mark.filterwarnings("ignore")  # mergekit and peft use what transformers 5.23 will drop


def recipe(*models: str, **more: Any) -> dict[str, Any]:
    listed = [{"model": model, "parameters": {"weight": 0.3 + index}} for index, model in enumerate(models)]
    return {"merge_method": "linear", "models": listed, **more}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [{}, {"use_rslora": True, "lora_alpha": 7, "dtype": torch.bfloat16}])
def test_what_is_added_is_what_mergekit_and_peft_add_to_the_bit(
    tmp_path: Path, dtype: torch.dtype, config: dict[str, Any]
) -> None:
    for seed, name in enumerate(("one", "two")):
        folders.checkpoint(tmp_path / name, seed=seed, dtype=dtype)
    folders.adapter(tmp_path / "lora", tmp_path / "one", **config)
    said = recipe(f"{tmp_path}/one+{tmp_path}/lora", f"{tmp_path}/two")
    made, theirs = merge(said, tmp_path / "made"), mergekits(said, tmp_path / "theirs")
    assert same(made, theirs)
    assert not same(made, merge(recipe(f"{tmp_path}/one", f"{tmp_path}/two"), tmp_path / "plain"))


def test_weights_that_are_held_inputs_first_are_added_to_likewise(tmp_path: Path) -> None:
    folders.checkpoint(tmp_path / "one", "gpt2")
    folders.adapter(tmp_path / "lora", tmp_path / "one", "attn.c_attn.weight", "c_proj.weight", fan_in_fan_out=True)
    said = {**recipe(f"{tmp_path}/one+{tmp_path}/lora"), "merge_method": "passthrough"}
    del said["models"][0]["parameters"]
    assert same(merge(said, tmp_path / "made"), mergekits(said, tmp_path / "theirs"))


def test_the_models_own_files_stay_as_they_are(mine: Path) -> None:
    folders.adapter(mine / "lora", mine / "one")
    before = folders.snapshot(mine)
    merge(recipe(f"{mine}/one+{mine}/lora", f"{mine}/two"), mine / "made")
    shutil.rmtree(mine / "made")
    assert folders.snapshot(mine) == before


def test_every_shard_is_added_to(mine: Path) -> None:
    folders.adapter(mine / "lora", mine / "one")
    whole = merge(recipe(f"{mine}/one+{mine}/lora", f"{mine}/two"), mine / "whole")
    (mine / "one" / "model.safetensors").unlink()
    tiny.model("llama", seed=0, dtype=torch.float32).save_pretrained(mine / "one", max_shard_size="20KB")
    assert same(merge(recipe(f"{mine}/one+{mine}/lora", f"{mine}/two"), mine / "made"), whole)


def test_several_adapters_of_one_model_are_merged_with_it(mine: Path) -> None:
    for rank in (2, 3):
        folders.adapter(mine / f"lora-{rank}", mine / "one", rank=rank)
    names = [f"{mine}/one", f"{mine}/one+{mine}/lora-2", f"{mine}/one+{mine}/lora-3"]
    said: dict[str, Any] = {"merge_method": "ties", "base_model": names[0], "parameters": {"density": 0.5}}
    said["models"] = [{"model": name, "parameters": {"weight": 1}} for name in names[1:]]
    assert same(merge(said, mine / "made"), mergekits(said, mine / "theirs"))


def test_an_adapter_may_be_said_in_the_longer_form(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    folders.adapter(mine / "lora", mine / "one")
    short = merge(recipe("one+lora", "two"), mine / "short")
    said = recipe("", "two")
    said["models"][0]["model"] = {"model": {"path": "one"}, "lora": {"path": "lora"}}
    assert same(merge(said, mine / "long"), short)
    assert json.dumps(mergers.weights(short), default=str) != json.dumps(mergers.weights(mine / "one"), default=str)


def test_adding_replaces_links_and_not_what_they_lead_to(mine: Path) -> None:
    folders.adapter(mine / "lora", mine / "one")
    place, was = mine / "place", (mine / "one/model.safetensors").read_bytes()
    place.mkdir()
    (place / "model.safetensors").symlink_to(mine / "one/model.safetensors")
    add_adapter(place, mine / "lora")
    assert not (place / "model.safetensors").is_symlink()
    assert (mine / "one/model.safetensors").read_bytes() == was != (place / "model.safetensors").read_bytes()
