"""Whether weights are numbers."""

import torch
from torch import Tensor

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def finite(weight: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity; integers never do, and packed floats are not looked at."""
    if weight.dtype not in _FLOATS or not weight.numel():
        return True
    # One sum sees both in half the time of the extremes, which say what it was where large numbers made it overflow.
    return bool(weight.sum().isfinite()) or all(map(torch.isfinite, weight.aminmax()))
