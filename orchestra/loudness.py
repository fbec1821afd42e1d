"""How loud each stack is on texts of any domain: also on those that it has nothing to say to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from orchestra.api import load
from orchestra.errors import ComposeError
from orchestra.runtime.model import ComposedModel


def loudness(model: ComposedModel, domains: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Mean share of each stack in each domain, with no other augment on.

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
        with model.only(node.name):
            found[node.name] = {name: _share(model, texts) for name, texts in domains.items()}
    return found


def loudness_of(graph: str | Path, domains: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """The loudness of the stacks of a graph that is still to be loaded; see `loudness`."""
    return loudness(load(graph), domains)


def _share(model: ComposedModel, texts: Sequence[str]) -> float:
    return fmean(share for text in texts for bridge in model.contributions(text).bridges for share in bridge.share)
