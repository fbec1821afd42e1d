import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from orchestra.errors import ModelError
from orchestra.io.adapter_facts import Adapter, check_adapter
from orchestra.io.places import Found
from orchestra.io.safetensors_header import read_header
from tests import folders


def check(base: Path, folder: Path) -> Adapter:
    return check_adapter(Found(path=folder), read_header(base / "one/model.safetensors").shapes)


@pytest.fixture
def lora(mine: Path) -> Path:
    """An adapter for the model `one`."""
    return folders.adapter(mine / "lora", mine / "one")


def test_an_adapter_says_what_it_adds_and_to_what(mine: Path, lora: Path) -> None:
    found = check(mine, lora)
    assert (found.rank, found.scale, found.transposed, len(found.names)) == (3, 5 / 3, False, 6)
    assert "model.layers.2.mlp.up_proj.weight" in found.names
    folders.edit_json(lora / "adapter_config.json", use_rslora=True)
    assert check(mine, lora).scale == 5 / 3**0.5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"peft_type": "IA3"}, 'peft_type "IA3"; "LORA" is merged.'),
        ({"peft_type": ...}, 'peft_type null; "LORA" is merged.'),
        ({"use_dora": True}, "use_dora true; plain LoRA alone is merged."),
        ({"bias": "all"}, 'bias "all"; plain LoRA alone is merged.'),
        ({"modules_to_save": ["lm_head"]}, 'modules_to_save ["lm_head"]; plain LoRA alone is merged.'),
        ({"alpha_pattern": {"q_proj": 1}}, 'alpha_pattern {"q_proj": 1}; plain LoRA alone is merged.'),
        ({"rank_pattern": {"q_proj": 1}}, 'rank_pattern {"q_proj": 1}; plain LoRA alone is merged.'),
        ({"init_lora_weights": "pissa"}, 'init_lora_weights "pissa"; plain LoRA alone is merged.'),
        ({"init_lora_weights": 1}, "init_lora_weights 1; plain LoRA alone is merged."),
        ({"megatron_config": {"a": 1}}, 'megatron_config {"a": 1}; plain LoRA alone is merged.'),
        ({"layer_replication": [[0, 9]]}, "layer_replication [[0, 9]]; plain LoRA alone is merged."),
        ({"something_new": "on"}, 'something_new "on"; plain LoRA alone is merged.'),
        ({"r": 0}, "r 0; plain LoRA alone is merged."),
        ({"r": True}, "r true; plain LoRA alone is merged."),
        ({"r": ...}, "no r."),
        ({"lora_alpha": "5"}, 'lora_alpha "5"; plain LoRA alone is merged.'),
        ({"lora_alpha": float("inf")}, "lora_alpha Infinity; plain LoRA alone is merged."),
        ({"fan_in_fan_out": "yes"}, 'fan_in_fan_out "yes"; plain LoRA alone is merged.'),
    ],
)
def test_what_is_not_plain_lora_is_refused_by_its_field(
    mine: Path, lora: Path, changes: dict[str, Any], told: str
) -> None:
    folders.edit_json(lora / "adapter_config.json", **changes)
    with pytest.raises(ModelError, match=f"^{re.escape(f'{lora}: its adapter_config.json has {told}')}$"):
        check(mine, lora)


def test_what_only_says_how_an_adapter_was_made_is_not_read(mine: Path, lora: Path) -> None:
    told = {"auto_mapping": {"parent_library": "os"}, "megatron_core": "os", "init_lora_weights": "gaussian"}
    folders.edit_json(lora / "adapter_config.json", base_model_name_or_path="/etc", peft_version="9", **told)
    assert check(mine, lora)


Q = "model.layers.0.self_attn.q_proj"
A, B = f"base_model.model.{Q}.lora_A.weight", f"base_model.model.{Q}.lora_B.weight"


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({}, "holds no tensors."),
        ({A: torch.ones(3, 28)}, f"{B} is missing."),
        (
            {"base_model.model.lm_head.weight": torch.ones(2)},
            "base_model.model.lm_head.weight is no part of plain LoRA.",
        ),
        (
            {name.replace("q_proj", "x_proj"): torch.ones(3, 3) for name in (A, B)},
            "model.layers.0.self_attn.x_proj.weight is no weight of a layer of the model.",
        ),
        (
            {name.replace(Q, "model.embed_tokens"): torch.ones(3, 3) for name in (A, B)},
            "model.embed_tokens.weight is no weight of a layer of the model.",
        ),
        (
            {A: torch.ones(3, 29), B: torch.ones(28, 3)},
            f"{Q}.weight: A [3, 29] and B [28, 3] of rank 3 do not fit [28, 28].",
        ),
        (
            {A: torch.ones(2, 28), B: torch.ones(28, 2)},
            f"{Q}.weight: A [2, 28] and B [28, 2] of rank 3 do not fit [28, 28].",
        ),
        (
            {A: torch.ones(3, 28, dtype=torch.int32), B: torch.ones(28, 3)},
            f"{Q}.weight: is held in I32; allowed: F16, BF16, F32, F64.",
        ),
        (
            {A: torch.ones(3, 28), B: torch.ones(28, 3, dtype=torch.int32)},
            f"{Q}.weight: is held in I32; allowed: F16, BF16, F32, F64.",
        ),
    ],
)
def test_tensors_that_fit_no_weight_are_refused(mine: Path, lora: Path, tensors: dict[str, Tensor], told: str) -> None:
    save_file(tensors, lora / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=f"^{re.escape(f'{lora}/adapter_model.safetensors: {told}')}$"):
        check(mine, lora)


def test_the_first_misfits_of_many_are_listed(mine: Path) -> None:
    with pytest.raises(ModelError) as caught:
        check(
            mine,
            folders.adapter(mine / "gpt", folders.checkpoint(mine / "gpt2", "gpt2"), "c_fc.weight", "c_proj.weight"),
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert lines[0].endswith("transformer.h.0.attn.c_proj.weight is no weight of a layer of the model.")
    assert re.fullmatch(r".*: and \d+ more\.", lines[3])


def test_pickled_adapters_and_those_without_weights_are_refused(mine: Path, lora: Path) -> None:
    (lora / "adapter_model.safetensors").rename(lora / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors: cannot be read: No such file or directory\.$"):
        check(mine, lora)
    (lora / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"lora: holds no adapter_config\.json\.$"):
        check(mine, lora)
