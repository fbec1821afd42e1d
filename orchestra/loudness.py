"""How loud each stack is on texts of any domain, also on those that it has nothing to say to; how far bridges open."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from orchestra.api import load
from orchestra.errors import ComposeError
from orchestra.graph import Site
from orchestra.runtime.contributions import in_tokens
from orchestra.runtime.model import ComposedModel
from orchestra.runtime.schedule import Trace
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


def mean_gates(model: ComposedModel, texts: Sequence[str]) -> dict[Site, float]:
    """How far each bridge that runs is open, as a mean over all tokens of these texts.

    Raises:
        ComposeError: the model has no tokenizer, or a text is empty.
    """
    gates: dict[Site, list[Tensor]] = {}
    for text in texts:
        for trace in _run(model, text):
            gates.setdefault(trace.bridge.site, []).append(trace.gate.flatten().cpu())
    return {site: float(torch.cat(found).mean()) for site, found in gates.items()}


def loudness_of(graph: str | Path, domains: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """The loudness of the stacks of a graph that is still to be loaded; see `loudness`."""
    return loudness(load(graph), domains)


def _share(model: ComposedModel, name: str, texts: Sequence[str]) -> float:
    traces = (trace for text in texts for trace in _run(model, text) if trace.bridge.site.augment == name)
    return float(torch.cat([trace.share.flatten().cpu() for trace in traces]).mean())


@torch.no_grad()
def _run(model: ComposedModel, text: str) -> tuple[Trace, ...]:
    return model.traced(in_tokens(model.tokenizer, text)[0].to(model.device)).traces
