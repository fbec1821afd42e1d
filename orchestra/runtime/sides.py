"""What bundles remember of the models that their stacks join, of a composition in memory."""

import hashlib
from collections.abc import Mapping

from safetensors.torch import save

from orchestra.io.sides import Digests
from orchestra.nn.bridge import Bridge
from orchestra.nn.stack import Stack


def digests(stacks: Mapping[str, Stack]) -> Digests:
    """What the stacks count as where they feed an augment: what their bundles would, were they written now."""
    return {name: None if all(map(silent, stack.bridges())) else _sha256(stack) for name, stack in stacks.items()}


def silent(bridge: Bridge) -> bool:
    """Whether a bridge adds exactly nothing, as a fresh one does."""
    closed = bridge.gate if bridge.site.gate == "scalar" else bridge.out.weight
    return not closed.any()


def _sha256(stack: Stack) -> str:
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in stack.state_dict().items()}
    return hashlib.sha256(save(tensors)).hexdigest()
