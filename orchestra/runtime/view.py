"""Private views of a loaded model: our own list of layers over the very same weights.

A view is a shallow copy of the model and of the modules on the way to its layers; each layer in it is a shallow copy
that carries our hooks. The model itself is never touched: two composed models over one anchor cannot disturb each
other, and there is nothing to clean up. Whatever holds weights is shared, so a view costs no memory.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn
from transformers import PreTrainedModel

from orchestra.errors import ComposeError

Module = TypeVar("Module", bound=nn.Module)


def layers_path(model: nn.Module, num_layers: int) -> list[str]:
    """The attribute names that lead to a model's decoder layers: the ModuleList as long as its config says.

    Raises:
        ComposeError: there is no such list, or more than one at the same depth.
    """
    found: list[list[str]] = [
        name.split(".")
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == num_layers
    ]
    shallowest = [path for path in found if len(path) == min(map(len, found))]
    if len(shallowest) != 1:
        raise ComposeError(
            f"{type(model).__name__}: looked for one list of {num_layers} decoder layers, "
            f"and found {len(shallowest)}; this architecture cannot be composed."
        )
    return shallowest[0]


def view(
    model: PreTrainedModel, *, num_layers: int, keep: int | None = None
) -> tuple[PreTrainedModel, list[nn.Module]]:
    """A view of a model, and its layers, to put hooks on.

    Args:
        keep: how many of its layers the view runs, from the bottom; all by default.
    """
    path = layers_path(model, num_layers)
    top = _shallow(model)
    parent: nn.Module = top
    for name in path[:-1]:
        child = _shallow(parent._modules[name])
        parent._modules[name] = child
        parent = child
    layers = [_own_layer(layer) for layer in getattr(parent, path[-1])][:keep]
    parent._modules[path[-1]] = nn.ModuleList(layers)
    return top, layers


def first_tensor(output: Any) -> Tensor:
    """The hidden states in a layer's output: the output itself, or the first of a tuple."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def with_first_tensor(output: Any, hidden: Tensor) -> Any:
    """A layer's output with its hidden states exchanged."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


def _shallow(module: Module | None) -> Module:
    """A copy that shares weights, buffers and children, and whose children and hooks can be exchanged."""
    if module is None:
        raise ComposeError("a model's layers lie below a module that is None; this architecture cannot be composed.")
    twin = copy.copy(module)
    twin._modules = dict(module._modules)
    # transformers installs its output recorders once per model and remembers it here; the view's layers need their own.
    twin.__dict__.pop("_output_capturing_hooks_installed", None)
    return twin


def _own_layer(layer: nn.Module) -> nn.Module:
    twin = _shallow(layer)
    for registry in (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_pre_hooks_with_kwargs",
    ):
        setattr(twin, registry, OrderedDict())
    return twin


def wrap_forward(layer: nn.Module, around: Callable[..., Any]) -> None:
    """Make a view's layer run as `around(forward, *args, **kwargs)`; hooks stay outside."""
    forward = layer.forward

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(forward, *args, **kwargs)

    layer.__dict__["forward"] = wrapped
