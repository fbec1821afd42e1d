"""Holds what files ask for against what they hold, and what is there, before memory is taken for a weight."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig

from orchestra.errors import GraphError, ModelError
from orchestra.io.gguf_header import GgufHeader
from orchestra.io.safetensors_header import Tensors
from orchestra.plan import Plan
from orchestra.problems import show

_ROOM = 2
_TABLE_BYTES = 1 << 30
"""What buffers may take that no file holds, such as tables of positions and masks."""


def check_room(source: object, config: PreTrainedConfig, held: Sequence[Tensors | GgufHeader]) -> None:
    """Raise where a config asks for much more than its files hold; a little more is left to be named by weight.

    Args:
        source: named in the error.
        held: the headers of the files.

    Raises:
        ModelError: the config asks for too much.
    """
    num_params, weight_bytes = sum(header.num_params for header in held), sum(header.weight_bytes for header in held)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    asked = sum(weight.numel() for weight in model.parameters())
    packed = getattr(config, "quantization_config", None) is not None
    if asked > _ROOM * (8 * weight_bytes if packed else num_params):  # packed weights have a bit each at least
        raise ModelError(f"{source}: its config asks for {show(asked)} weights, and its files hold {num_params}.")
    tables = sum(buffer.nbytes for buffer in model.buffers())
    if tables > _TABLE_BYTES + _ROOM * weight_bytes:
        raise ModelError(f"{source}: its config asks for {show(tables)} bytes of tables, which no file holds.")


def check_memory(planned: Plan) -> None:
    """Raise where the bridges of a graph alone are larger than the memory of this machine.

    Raises:
        GraphError: they are; the largest stack is named.
    """
    largest = max(planned.costs, key=lambda cost: cost.bridge_bytes)
    needed, held = sum(cost.bridge_bytes for cost in planned.costs), _memory_bytes()
    if needed > held:
        raise GraphError(
            f"the bridges take {show(needed)} bytes, and this machine has {held}; "
            f"augments.{largest.augment}.bridges has {largest.num_bridges} of them, the most."
        )


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
