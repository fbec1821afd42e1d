"""Attention masks for augments some of whose tokens are provisional: a tree in place of a line.

transformers takes a mask that is made already: one of shape (batch, 1, new, seq) that is added to the scores, or, of
models whose layers see differently far, one for each kind of layer.
"""

import inspect

import torch
from torch import Tensor
from transformers import PreTrainedModel

from orchestra.errors import ComposeError
from orchestra.runtime.align import Branches

_KINDS = {"full_attention", "sliding_attention"}


def check_branching(name: str, model: PreTrainedModel) -> None:
    """See that an augment can read provisional tokens.

    Raises:
        ComposeError: it takes places from the order of its tokens alone, or sees in ways that no mask here says.
    """
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ()) - _KINDS
    if "position_ids" not in inspect.signature(model.forward).parameters or getattr(config, "alibi", False):
        why = "takes the places of tokens from their order, and provisional ones stand beside each other"
    elif kinds:
        why = f"has layers of the kind {sorted(kinds)[0]}, for which there is no such mask"
    elif config._attn_implementation not in ("eager", "sdpa"):
        why = f"attends by {config._attn_implementation!r}, which takes no such mask; load it with 'sdpa'"
    else:
        return
    raise ComposeError(f"augments.{name}.tail is 'provisional', but {type(model).__name__} {why}: use 'held'.")


def branching_mask(model: PreTrainedModel, branches: Branches) -> Tensor | dict[str, Tensor]:
    """What a model takes for its attention mask."""
    config, device = model.config, model.device
    seen = branches.seen.to(device)
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    if window is None or (kinds and "sliding_attention" not in kinds):
        return _added(seen, model.dtype)
    near = _added(seen & (branches.distance.to(device) < window), model.dtype)
    return {"full_attention": _added(seen, model.dtype), "sliding_attention": near} if kinds else near


def _added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Zeros where a token is seen, and the lowest number where not: ``(batch, 1, new, seq)``."""
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)[:, None]
