"""Private views of a loaded model: our own list of layers over the very same weights.

A view is a copy of every module of a model, with the original's weights in it. It carries our hooks, and whatever
recorders transformers adds, and is always in eval mode. The model itself is never touched: two composed models over
one anchor cannot disturb each other, and there is nothing to clean up. A view costs no memory.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn
from transformers import PreTrainedModel

from orchestra.errors import ComposeError

Module = TypeVar("Module", bound=nn.Module)

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_always_called",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


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

    Raises:
        ComposeError: the forward of the model, or of what holds its layers, was replaced.
    """
    *path, name = layers_path(model, num_layers)
    top = _own(model)
    for depth in range(len(path) + 1):
        _check_own_forward(top.get_submodule(".".join(path[:depth])))
    parent = top.get_submodule(".".join(path))
    layers = list(parent.get_submodule(name).children())[:keep]
    parent._modules[name] = nn.ModuleList(layers)
    return top, layers


def first_tensor(output: Any) -> Tensor:
    """The hidden states in a layer's output: the output itself, or the first of a tuple."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def with_first_tensor(output: Any, hidden: Tensor) -> Any:
    """A layer's output with its hidden states exchanged."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


def _check_own_forward(module: nn.Module) -> None:
    """See that a module runs itself: a forward put on it runs the original, past the view's layers and hooks."""
    if "forward" in vars(module):
        raise ComposeError(
            f"the forward of {type(module).__name__} was replaced, as torch.compile(model.forward) and accelerate's "
            "hooks do: compose the model as it was loaded."
        )


def _own(module: Module) -> Module:
    """A copy of a module and of every module in it, over the same weights, in eval mode and without hooks."""
    twin = copy.copy(module)
    twin._modules = {name: None if child is None else _own(child) for name, child in module._modules.items()}
    twin.training = False
    for registry in _HOOKS:
        setattr(twin, registry, OrderedDict())
    # transformers installs its output recorders once per model and remembers it here; the view needs its own.
    twin.__dict__.pop("_output_capturing_hooks_installed", None)
    return twin


def wrap_forward(layer: nn.Module, around: Callable[..., Any]) -> None:
    """Make a view's layer run as `around(forward, *args, **kwargs)`; hooks stay outside."""
    forward = layer.forward

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(forward, *args, **kwargs)

    layer.__dict__["forward"] = wrapped
