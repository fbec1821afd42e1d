"""Where a query may look. The one place that decides, for every bridge, full forward and cached step alike."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


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


def known_true(mask: Bool[Tensor, "..."] | Int[Tensor, "..."]) -> bool:
    """Whether all of it is true, or 1, as far as anybody can tell: a tensor without values tells nothing."""
    hidden = mask.is_meta or isinstance(mask, FakeTensor)
    return not hidden and not (mask.is_cuda and torch.cuda.is_current_stream_capturing()) and bool(mask.all())


class Sight:
    """What all bridges of one forward make of a mask, worked out once.

    Attributes:
        causal: whether there are as many keys as queries, and each sees those up to its own and no others.
        nowhere: queries that may look nowhere, ``(batch, anchor_seq, 1)``; None where there are none.
    """

    def __init__(
        self, mask: Bool[Tensor, "batch anchor_seq augment_seq"] | None = None, *, causal: bool = False
    ) -> None:
        """Take a mask that is ``True`` where a query may look; None where it sees all, or what `causal` says."""
        self.causal = causal
        self.nowhere: Tensor | None = None
        self._blocked: Tensor | None = None
        self._added: dict[torch.dtype, Tensor] = {}
        if mask is not None and not known_true(mask):
            somewhere = mask.any(-1, keepdim=True)
            self.nowhere = None if known_true(somewhere) else ~somewhere
            self._blocked = ~(mask | ~somewhere)[:, None]

    def added(self, dtype: torch.dtype) -> Float[Tensor, "batch 1 anchor_seq augment_seq"] | None:
        """What attention adds to scores: 0, or minus infinity where a query may not look; None where it adds nothing.

        A query that may look nowhere would be a softmax over nothing; it looks everywhere instead.
        """
        if self._blocked is None:
            return None
        if dtype not in self._added:
            zeros = torch.zeros(self._blocked.shape, dtype=dtype, device=self._blocked.device)
            self._added[dtype] = zeros.masked_fill_(self._blocked, float("-inf"))
        return self._added[dtype]


class Places:
    """Positions of tokens, and the rotary tables for them, which all bridges of one forward share."""

    def __init__(self, index: Int[Tensor, "batch seq"]) -> None:
        self._index = index
        self._tables: dict[tuple[int, torch.dtype], tuple[Tensor, Tensor]] = {}

    def turn(self, states: Float[Tensor, "batch heads seq d_head"]) -> Float[Tensor, "batch heads seq d_head"]:
        """Rotate states to their positions."""
        d_head = states.shape[-1]
        if (table := self._tables.get((d_head, states.dtype))) is None:
            cosines, sines = rotary(self._index, d_head, dtype=states.dtype)
            signed = torch.cat([-sines[..., : d_head // 2], sines[..., d_head // 2 :]], dim=-1)
            table = self._tables[d_head, states.dtype] = cosines, signed
        first, second = states.chunk(2, dim=-1)
        return torch.addcmul(states * table[0], torch.cat([second, first], dim=-1), table[1])


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
