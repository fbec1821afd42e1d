"""tree(): a plan as text."""

from collections.abc import Iterator, Mapping

from orchestra.draw.words import kind, reading, state
from orchestra.graph import Graph, Node, Site
from orchestra.plan import Plan
from orchestra.wiring import ANCHOR


def tree(plan: Plan, gates: Mapping[Site, float] | None = None) -> str:
    """Draw a plan as text: the layers of each model that have bridges, from the bottom, and what they read.

    Args:
        gates: how far bridges are open, of those of which it is known.
    """
    graph, known = plan.graph, gates or {}
    lines = [f"anchor  {_facts(graph.anchor)}", *_branches(graph, ANCHOR, known)]
    for node, cost in zip(graph.augments, plan.costs, strict=True):
        lines.append(f"{node.name}  {_facts(node)}, {cost.layers_run} run, reads {reading(node)}{_comma(state(cost))}")
        lines += _branches(graph, node.name, known)
    return "\n".join(lines)


def _comma(word: str) -> str:
    return f", {word}" if word else ""


def _branches(graph: Graph, into: str, gates: Mapping[Site, float]) -> Iterator[str]:
    """The layers of a model that have bridges."""
    sites = [site for site in graph.sites if site.into == into]
    places = list(dict.fromkeys(site.anchor_layer for site in sites))
    for place in places:
        last = place == places[-1]
        yield f"{'└' if last else '├'}── {'embedding' if place == 'embedding' else f'layer {place}'}"
        here = [site for site in sites if site.anchor_layer == place]
        for site in here:
            gate = f", gate {gates[site]:.2g}" if site in gates else ""
            branch = "└" if site == here[-1] else "├"
            yield f"{' ' if last else '│'}   {branch}── {site.augment}, layer {site.augment_layer}{gate}"


def _facts(node: Node) -> str:
    return f"{kind(node)}, {node.facts.num_layers} layers"
