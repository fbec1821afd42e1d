"""Adds an adapter to a model's weights, as peft does it and without peft: tensors are read, and nothing is run."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from orchestra.io.adapter_facts import Adapter, check_adapter, halves
from orchestra.io.checkpoint import ADAPTER_WEIGHTS, weight_files
from orchestra.io.places import Found
from orchestra.io.safetensors_header import read_header


def add_adapter(model: Path, adapter: Path) -> None:
    r"""Add the weights of an adapter to those of a model, :math:`W + s\,BA`.

    Args:
        model: a folder whose weight files are links; new files take their places.

    Raises:
        ModelError: the adapter does not fit.

    Source: LoRA, section 4.1 (arXiv 2106.09685): :math:`s` is alpha / r; rsLoRA (arXiv 2312.03732): alpha / sqrt(r).
    """
    files = weight_files(model)
    shapes = {name: shape for file in files for name, shape in read_header(file).shapes.items()}
    plan = check_adapter(Found(path=adapter), shapes)
    with safe_open(adapter / ADAPTER_WEIGHTS, framework="pt") as added:
        for file in files:
            with safe_open(file, framework="pt") as held:
                tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118 - it is no mapping
            for name in tensors.keys() & {*plan.names}:
                tensors[name] += _delta(plan, *map(added.get_tensor, halves(name)))
            file.unlink()
            save_file(tensors, file, metadata={"format": "pt"})


def _delta(plan: Adapter, first: Tensor, second: Tensor) -> Tensor:
    """In float32, to which peft takes the adapter when it loads it."""
    product = second.to(torch.float32) @ first.to(torch.float32)
    return (product.T if plan.transposed else product) * plan.scale
