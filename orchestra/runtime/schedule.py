"""One forward of the composition: who runs, what is tapped, and how residuals are summed.

The state of a forward lives in a `Pass`, reachable through a context variable while the forward lasts and not a
moment longer. Hooks on the views read it there; nothing is kept on a module.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from orchestra.nn.bridge import Bridge, KeysValues
from orchestra.runtime.align import Alignment
from orchestra.runtime.cache import ComposedCache
from orchestra.runtime.links import Link
from orchestra.runtime.view import first_tensor, with_first_tensor, wrap_forward
from orchestra.wiring import ANCHOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one bridge did in one forward.

    Attributes:
        gate: per token of the model that is fed ``(batch, seq)``.
        share: |residual| / |hidden| there ``(batch, seq)``.
    """

    bridge: Bridge
    gate: Tensor
    share: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One forward over whole texts, looked at.

    Attributes:
        traces: what each bridge did: those into augments as these ran, then those into the anchor.
        alignments: what each augment read.
        logits: the anchor's, ``(batch, seq, vocabulary)``.
    """

    traces: tuple[Trace, ...]
    alignments: Mapping[str, Alignment]
    logits: Tensor


@dataclass(slots=True, kw_only=True)
class Pass:
    """The state of one forward.

    Attributes:
        links: for each augment and one that it feeds, what the bridges between them share.
        taps: hidden states by (augment, layer); filled as the augments run.
        recompute: whether anchor layers and bridges are recomputed in the backward pass; then there is no cache.
        under: where the lower layers of the anchor have run before, the last of them and what it returned.
    """

    alignments: Mapping[str, Alignment]
    cache: ComposedCache | None
    links: Mapping[tuple[str, str], Alignment | Link] = field(default_factory=dict)
    recompute: bool = False
    under: tuple[int, Any] | None = None
    taps: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    traces: list[Trace] | None = None


_current: ContextVar[Pass | None] = ContextVar("orchestra_pass", default=None)


@contextmanager
def running(state: Pass) -> Iterator[Pass]:
    """Make a pass the current one, for the length of a block."""
    token = _current.set(state)
    try:
        yield state
    finally:
        _current.reset(token)


def tap(layer: nn.Module, augment: str, index: int) -> None:
    """Have a layer of an augment's view leave its output in the current pass."""

    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        state = _current.get()
        if state is not None:
            hidden = first_tensor(output)
            padding = state.alignments[augment].padding
            # Padding is not looked at, but some models hold NaN there, and NaN times a weight of 0 is NaN.
            state.taps[augment, index] = hidden if padding is None else hidden.masked_fill(padding.to(hidden.device), 0)

    layer.register_forward_hook(hook)


def inject(layer: nn.Module, bridges: list[Bridge]) -> None:
    """Have a layer of a view add the residuals of its bridges to its output."""

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        hidden = first_tensor(output)
        bridged = add_residuals(hidden, bridges)
        return None if bridged is hidden else with_first_tensor(output, bridged)

    layer.register_forward_hook(hook)


def inject_embedding(layer: nn.Module, bridges: list[Bridge]) -> None:
    """Have a view's first layer read its input with the residuals of these bridges added."""

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (add_residuals(args[0], bridges), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": add_residuals(kwargs["hidden_states"], bridges)}

    layer.register_forward_pre_hook(hook, with_kwargs=True)


def recompute_in_backward(layer: nn.Module) -> None:
    """Have a layer of a view keep no activations where the current pass says so.

    Only the layer's own forward is recomputed. Residuals are added outside of it, so recomputation reads no state.
    """

    def around(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        state = _current.get()
        if state is None or not state.recompute:
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    wrap_forward(layer, around)


def skip_if_run(layer: nn.Module, index: int) -> None:
    """Have a layer of the anchor's view return at once what the current pass has of it, or of one above it."""

    def around(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        state = _current.get()
        if state is None or state.under is None or index > state.under[0]:
            return forward(*args, **kwargs)
        return state.under[1]

    wrap_forward(layer, around)


def add_residuals(hidden: Tensor, bridges: list[Bridge]) -> Tensor:
    """H plus the sum of the residuals of all running augments.

    All bridges read the same H. Residuals are summed in at least fp32, in the order of `bridges` (sorted by augment
    and augment layer), and added once.

    Args:
        hidden: ``(batch, anchor_seq, d_anchor)``.
    """
    state = _current.get()
    if state is None or not state.alignments:
        return hidden
    wide = torch.promote_types(hidden.dtype, torch.float32)
    total: Tensor | None = None
    for bridge in bridges:
        if bridge.site.augment in state.alignments:
            residual = _residual(state, bridge, hidden).to(device=hidden.device, dtype=wide)
            total = residual if total is None else total + residual
    return hidden if total is None else (hidden.to(wide) + total).to(hidden.dtype)


def _residual(state: Pass, bridge: Bridge, hidden: Tensor) -> Tensor:
    site = bridge.site
    alignment = state.alignments[site.augment] if site.into == ANCHOR else state.links[site.augment, site.into]
    cache = state.cache

    def attend(hidden: Tensor, context: Tensor | None) -> Tensor:
        if context is not None:
            read = bridge.read(context, alignment.places, None if cache is None else cache.fold(bridge))
            if cache is not None:
                read = cache.extend(site, read)
        else:
            assert cache is not None
            read = KeysValues(*(part.to(hidden.device) for part in cache.read_before(site)))
        residual: Tensor = bridge(hidden, read, alignment.sight, alignment.query_places)
        return residual

    context = state.taps.get((site.augment, site.augment_layer))  # None: the augment has read all that it will
    arguments = (hidden, None if context is None else context.to(hidden.device))
    if state.recompute:
        residual: Tensor = checkpoint(attend, *arguments, use_reentrant=False)
    else:
        residual = attend(*arguments)
    if state.traces is not None:
        state.traces.append(_trace(bridge, hidden, residual))
    return residual


def remember(state: Pass, bridges: list[Bridge]) -> None:
    """Keep in the cache what bridges read, of a fed augment that has no new token to look there."""
    for bridge in bridges:
        site = bridge.site
        context = state.taps.get((site.augment, site.augment_layer))
        if state.cache is not None and context is not None:
            places = state.links[site.augment, site.into].places
            read = bridge.read(context.to(bridge.out.weight.device), places, state.cache.fold(bridge))
            state.cache.extend(site, read)


@torch.no_grad()
def _trace(bridge: Bridge, hidden: Tensor, residual: Tensor) -> Trace:
    normed = bridge.norm_hidden(hidden.to(bridge.out.weight.dtype))
    wide = torch.promote_types(residual.dtype, torch.float32)
    size = hidden.to(wide).norm(dim=-1)
    gate = bridge.gate_of(normed).to(wide)
    return Trace(
        bridge=bridge,
        gate=gate.squeeze(-1).expand_as(size) if gate.ndim else gate.expand_as(size),
        share=residual.to(wide).norm(dim=-1) / size.clamp_min(1e-9),
    )
