"""One bridge: gated cross-attention from one augment layer into one anchor layer."""

import hashlib
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from orchestra.graph import Site
from orchestra.nn.mask import Places, Sight

LOCAL_BIAS = 3.0
"""Starting value of the query and key biases: under rotary positions it makes a fresh bridge look at its own place."""
LOCAL_SCALE = 0.1
"""How small the query and key weights start then: at full size, what stands at a place can outweigh where it is."""


class KeysValues(NamedTuple):
    """What a bridge read from an augment: what its cache keeps."""

    keys: Float[Tensor, "batch heads augment_seq d_head"]
    values: Float[Tensor, "batch heads augment_seq d_head"]


class Folded(NamedTuple):
    """The projection multiplied into the maps of keys and of values, one below the other: fewer products per token."""

    weight: Float[Tensor, "both d_augment"]
    bias: Float[Tensor, " both"] | None


class Bridge(nn.Module):
    r"""Gated cross-attention from one augment layer into one anchor layer.

    .. math:: r = g(h)\, W_O\, \mathrm{Attn}(R\,(W_Q \hat h + b_Q),\; R\,(W_K P \hat c + b_K),\; W_V P \hat c)

    with :math:`\hat h, \hat c` the RMS-normalised hidden states of anchor and augment, :math:`P` the projection from
    the augment's width to the anchor's, :math:`R` the rotary positions, and :math:`g` the gate: 1 (``none``),
    :math:`\tanh(g)` (``scalar``), or :math:`\sigma(w \cdot \hat h + b)` (``token``). The variant ``calm`` has no
    norm, no gate, no positions and no biases. A fresh bridge adds exactly nothing: the scalar gate, or else
    :math:`W_O`, starts at zero.

    Source: CALM, section 3.1 (arXiv 2401.02412); the zero-initialised gate is Flamingo's, section 2.2
    (arXiv 2204.14198).
    """

    def __init__(self, site: Site, *, seed: int | None = 0) -> None:
        super().__init__()
        self.site = site
        self.d_head = site.d_anchor // site.num_heads
        normed, local = site.variant == "orchestra", site.positions == "rotary"
        self.norm_hidden = nn.RMSNorm(site.d_anchor, eps=1e-6) if normed else nn.Identity()
        self.norm_context = nn.RMSNorm(site.d_augment, eps=1e-6) if normed else nn.Identity()
        self.proj = _linear(site.d_augment, site.d_anchor, bias=False)
        self.query = _linear(site.d_anchor, site.d_anchor, bias=local)
        self.key = _linear(site.d_anchor, site.d_anchor, bias=local)
        self.value = _linear(site.d_anchor, site.d_anchor, bias=False)
        self.out = _linear(site.d_anchor, site.d_anchor, bias=False)
        if site.gate == "scalar":
            self.gate = nn.Parameter(torch.zeros(()))
        elif site.gate == "token":
            self.gate_map = _linear(site.d_anchor, 1, bias=True)
        if seed is not None:
            self.reset_parameters(seed)

    @torch.no_grad()
    def reset_parameters(self, seed: int) -> None:
        """Draw fresh weights, seeded by the name of the site and not by the order of construction."""
        site = f"{self.site.augment}/{self.site.key}/{seed}"
        generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(site.encode()).digest()[:7]))
        for linear in (self.proj, self.query, self.key, self.value, self.out):
            weight = torch.randn(linear.weight.shape, generator=generator) * linear.in_features**-0.5
            linear.weight.copy_(weight if linear.bias is None else weight * LOCAL_SCALE)
            if linear.bias is not None:
                linear.bias.fill_(LOCAL_BIAS)
        for norm in (self.norm_hidden, self.norm_context):
            if isinstance(norm, nn.RMSNorm):
                norm.reset_parameters()
        if self.site.gate == "scalar":
            self.gate.zero_()
        else:
            self.out.weight.zero_()
        if self.site.gate == "token":
            self.gate_map.weight.zero_()
            self.gate_map.bias.zero_()

    def read(
        self,
        context: Float[Tensor, "batch augment_seq d_augment"],
        places: Places,
        folded: Folded | None = None,
    ) -> KeysValues:
        """Turn an augment's hidden states into keys and values.

        Args:
            places: the index of the anchor token at which each augment token was committed.
            folded: what `fold` returned for the weights as they are now.
        """
        normed = self.norm_context(context.to(self.proj.weight.dtype))
        if folded is None:
            projected = self.proj(normed)
            keys, values = self.key(projected), self.value(projected)
        else:
            keys, values = functional.linear(normed, folded.weight, folded.bias).chunk(2, dim=-1)
        return KeysValues(self._rotate(self._heads(keys), places), self._heads(values))

    def fold(self) -> Folded | None:
        """Multiply the projection into what comes after it; None where tokens would then cost more."""
        if self.site.d_augment >= 2 * self.site.d_anchor:
            return None
        maps, bias = torch.cat([self.key.weight, self.value.weight]), self.key.bias
        return Folded(maps @ self.proj.weight, None if bias is None else torch.cat([bias, torch.zeros_like(bias)]))

    def forward(
        self,
        hidden: Float[Tensor, "batch anchor_seq d_anchor"],
        read: KeysValues,
        sight: Sight,
        places: Places,
    ) -> Float[Tensor, "batch anchor_seq d_anchor"]:
        """Compute the gated residual, in the bridge's dtype; it is not yet added.

        Args:
            sight: where a query may look. A query that may look nowhere gets exact zeros.
            places: index of each anchor token, padding not counted.
        """
        hidden = hidden.to(self.out.weight.dtype)
        if sight.nowhere is not None:
            # Some models hold NaN at padding; it must not reach the gradients of the weights.
            hidden = hidden.masked_fill(sight.nowhere, 0)
        hidden = self.norm_hidden(hidden)
        queries = self._rotate(self._heads(self.query(hidden)), places)
        attended = functional.scaled_dot_product_attention(
            queries, read.keys, read.values, attn_mask=sight.added(queries.dtype), is_causal=sight.causal
        )
        residual: Tensor = self.out(attended.transpose(1, 2).flatten(2)) * self.gate_of(hidden)
        return residual if sight.nowhere is None else residual.masked_fill(sight.nowhere, 0)

    def gate_of(self, normed: Float[Tensor, "batch anchor_seq d_anchor"]) -> Float[Tensor, "..."]:
        """The gate's value, broadcastable over the residual; 1 where the bridge has none."""
        if self.site.gate == "scalar":
            return torch.tanh(self.gate)
        if self.site.gate == "token":
            return torch.sigmoid(self.gate_map(normed))
        return torch.ones((), dtype=normed.dtype, device=normed.device)

    def _heads(self, states: Float[Tensor, "batch seq d_anchor"]) -> Float[Tensor, "batch heads seq d_head"]:
        heads: Tensor = states.unflatten(-1, (-1, self.d_head))
        return heads.transpose(1, 2)

    def _rotate(
        self, states: Float[Tensor, "batch heads seq d_head"], places: Places
    ) -> Float[Tensor, "batch heads seq d_head"]:
        return states if self.site.positions == "none" else places.turn(states)


def _linear(d_in: int, d_out: int, *, bias: bool) -> nn.Linear:
    """A linear map still to be filled: drawing its weights here would spend numbers of the global generator."""
    linear = nn.utils.skip_init(nn.Linear, d_in, d_out, bias=bias)
    assert isinstance(linear, nn.Linear)
    return linear
