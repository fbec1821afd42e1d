"""How loud each stack is on texts of any domain: also on those that it has nothing to say to."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from orchestra.api import load
from orchestra.errors import ComposeError
from orchestra.runtime.contributions import in_tokens
from orchestra.runtime.model import ComposedModel
from orchestra.wiring import below


def loudness(model: ComposedModel, domains: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Mean share of each stack in each domain, with no other augment on but those that it feeds.

    The share is |residual| / |hidden| at one bridge and one token; the mean is over all bridges of the stack and all
    tokens of the domain.

    Args:
        domains: texts, by the name of their domain.

    Returns:
        By augment, then by domain.

    Raises:
        ComposeError: the model has no tokenizer, or a domain or a text is empty.
    """
    empty = sorted(name for name, texts in domains.items() if not texts)
    if empty:
        raise ComposeError(f"the domain {empty[0]!r} has no texts.")
    found: dict[str, dict[str, float]] = {}
    for node in model.plan.graph.augments:
        with model.only(*below(model.plan.graph.feeds, [node.name])):
            found[node.name] = {name: _share(model, node.name, texts) for name, texts in domains.items()}
    return found


def loudness_of(graph: str | Path, domains: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """The loudness of the stacks of a graph that is still to be loaded; see `loudness`."""
    return loudness(load(graph), domains)


@torch.no_grad()
def _share(model: ComposedModel, name: str, texts: Sequence[str]) -> float:
    runs = (model.traced(in_tokens(model.tokenizer, text)[0].to(model.device)) for text in texts)
    shares = [trace.share.flatten() for run in runs for trace in run.traces if trace.bridge.site.augment == name]
    return float(torch.cat(shares).mean())
