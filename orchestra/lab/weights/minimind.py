"""MiniMind2-Small from an ONNX file of eight-bit integers into a Hugging Face folder."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from orchestra.lab.weights import onnx

_LINEAR = re.compile(r"/model/(layers\.\d+/(?:self_attn|mlp)/\w+_proj)/MatMul")
_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def convert(place: Path, into: Path) -> None:
    """Convert the package that lies in a folder."""
    package = place / "package"
    config = LlamaConfig(**{**json.loads((package / "config.json").read_text()), "dtype": "float32"})
    made = LlamaForCausalLM(config)
    state = weights(*onnx.read(package / "onnx" / "model_quantized.onnx"))
    made.load_state_dict({**state, "lm_head.weight": state["model.embed_tokens.weight"]})
    made.save_pretrained(into)
    for name in _FILES:
        shutil.copy(package / name, into)


def weights(nodes: list[onnx.Node], found: dict[str, onnx.Array]) -> dict[str, torch.Tensor]:
    """The weights by transformers' names; the head is the embedding's, as the config says."""
    state = {name: torch.from_numpy(weight.copy()) for name, weight in found.items() if name.endswith("norm.weight")}
    state["model.embed_tokens.weight"] = unpacked(found, "model.embed_tokens.weight")
    for node in nodes:
        match = _LINEAR.match(node.name)
        packed = [name for name in node.inputs if name.endswith("_quantized") and name in found]
        if match and packed:
            name = f"model.{match[1].replace('/', '.')}.weight"
            state[name] = unpacked(found, packed[0].removesuffix("_quantized")).T.contiguous()
    return state


def unpacked(found: dict[str, onnx.Array], name: str) -> torch.Tensor:
    """Integers back to numbers: what lies above the zero point, in steps of the scale."""
    steps = found[f"{name}_quantized"].astype(np.float32) - found[f"{name}_zero_point"].astype(np.float32)
    return torch.from_numpy(steps * found[f"{name}_scale"].astype(np.float32))
