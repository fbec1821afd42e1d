"""Where a query may look. The one place that decides, for every bridge, full forward and cached step alike."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def positions(valid: Bool[Tensor, "batch seq"]) -> Int[Tensor, "batch seq"]:
    """Index of each token, padding not counted; padding before the first token gets 0.

    Args:
        valid: ``False`` at padding.
    """
    return (valid.long().cumsum(-1) - 1).clamp_min(0)


def visible(
    *,
    query_position: Int[Tensor, "batch anchor_seq"],
    query_valid: Bool[Tensor, "batch anchor_seq"],
    key_position: Int[Tensor, "batch augment_seq"],
    key_valid: Bool[Tensor, "batch augment_seq"],
) -> Bool[Tensor, "batch anchor_seq augment_seq"]:
    """``True`` where an anchor token may look at an augment token.

    An augment token carries the index of the anchor token at which it was committed, so a query sees what was
    committed at or before itself: nothing later can change an earlier position. Padding neither looks nor is seen.
    """
    causal = key_position[:, None, :] <= query_position[:, :, None]
    return causal & key_valid[:, None, :] & query_valid[:, :, None]


def rotary(
    index: Int[Tensor, "batch seq"], d_head: int, *, dtype: torch.dtype, base: float = 10_000.0
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary positions, each ``(batch, 1, seq, d_head)``.

    Source: RoFormer, section 3.2.2 (arXiv 2104.09864), with the two halves of a head rotated against each other.
    """
    exponent = torch.arange(0, d_head, 2, device=index.device, dtype=torch.float32) / d_head
    angle = index[:, None, :, None].to(torch.float32) * base**-exponent
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos().to(dtype), angle.sin().to(dtype)
