"""Where fresh bridges begin: they say, in the anchor's own terms, what the augment has read.

The map from the augment to the anchor is found by least squares on English, which both models know. An augment that
holds two languages alike in its middle layers then says of the other language what it would say of English.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from orchestra.lab.contest.records import Batch
from orchestra.lab.contest.training import Logits
from orchestra.nn.bridge import Bridge


@torch.no_grad()
def even_out(bridges: Sequence[Bridge], logits: Logits, batches: Sequence[Batch]) -> None:
    """Weigh the channels that bridges read, so that all count alike: in many models a few outweigh the rest."""
    norms = [norm for bridge in bridges for norm in (bridge.norm_hidden, bridge.norm_context)]
    weights = [weight for norm in norms for weight in norm.parameters()]
    squares = [torch.zeros_like(weight) for weight in weights]
    with _inputs(norms) as seen:
        for number, batch in enumerate(batches):
            logits(number, batch)
            for norm, square in zip(norms, squares, strict=True):
                states = seen[norm].flatten(0, -2)
                size = states.square().mean(-1)
                square += (states[size > 0].square() / size[size > 0, None]).mean(0)
    for weight, square in zip(weights, squares, strict=True):
        weight.copy_((square / len(batches)).clamp_min(1e-6).rsqrt())


@torch.no_grad()
def stitch(
    bridges: Sequence[Bridge], logits: Logits, batches: Sequence[Batch], *, share: float = 0.3, ridge: float = 0.1
) -> None:
    """Have the output of each bridge tell the anchor's own state, as well as a linear map can.

    With provisional tokens an augment has read all that the anchor has: the state is that of the same token.

    Args:
        batches: English in the place of the other language.
        share: how much of the state is told.
        ridge: how much the map is held down, as a share of the mean square of what it reads.
    """
    width = bridges[0].site.d_anchor
    sums = {bridge: [torch.zeros(width, width, device=bridge.out.weight.device) for _ in "xy"] for bridge in bridges}
    with _inputs([part for bridge in bridges for part in (bridge.norm_hidden, bridge.out)]) as seen:
        for number, batch in enumerate(batches):
            logits(number, batch)
            inside = _inside(batch)
            for bridge, (squares, products) in sums.items():
                read, state = seen[bridge.out][inside], seen[bridge.norm_hidden][inside]
                squares += read.T @ read
                products += read.T @ state
    for bridge, (squares, products) in sums.items():
        held = ridge * squares.diagonal().mean() * torch.eye(width, device=squares.device)
        bridge.out.weight.copy_(share * torch.linalg.solve(squares + held, products).T)


def _inside(batch: Batch, *, before: int = 4, after: int = 3) -> Tensor:
    """The tokens of the text itself: the prompt without its first and last words."""
    position = batch.valid.cumsum(-1) - 1
    return batch.valid.bool() & (position >= before) & (position < batch.prompt_length[:, None] - after)


@contextmanager
def _inputs(modules: Sequence[nn.Module]) -> Iterator[Mapping[nn.Module, Tensor]]:
    """What each module was given last, inside the block."""
    seen: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[module] = given[0].float()

    hooks = [module.register_forward_pre_hook(note) for module in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
