"""The README.md of a graph's repository: a model card that says who is joined, by what, and under which licences."""

import json
from collections.abc import Iterator, Mapping

from orchestra.graph import Feed, Graph, Node
from orchestra.io.bundle import BundleConfig
from orchestra.io.card import metadata, section, text
from orchestra.io.hosted import weights_of
from orchestra.plan import num_params
from orchestra.wiring import ANCHOR


def graph_card(
    repo: str, graph: Graph, configs: Mapping[Feed, BundleConfig], licences: Mapping[str, str | None]
) -> str:
    """The card of a graph on the Hub, with the metadata block that the Hub reads.

    Args:
        configs: of the bundles that lie in the repository, by stack.
        licences: by the id of a model; None where it says none.
    """
    parents = [origin for node in (graph.anchor, *graph.augments) for origin, _ in weights_of(node.facts)]
    merges = any(node.facts.merge is not None for node in (graph.anchor, *graph.augments))
    count, total = len(graph.augments), sum(map(num_params, graph.sites))
    augments = f"augment{'s' if count > 1 else ''}{', some by way of others,' if graph.deep else ''}"
    lines = [
        *metadata((origin.repo for origin in parents), "pipeline_tag: text-generation"),
        f"# {text(repo.rpartition('/')[2])}",
        "",
        *([text(graph.description), ""] if graph.description else []),
        f"The frozen anchor **{text(graph.anchor.facts.name)}** reads {count} frozen "
        f"{augments} through trained bridges ({total:,} parameters). This repository holds the "
        "graph and its bridges; the models are fetched from their own"
        f"{', and merged by mergekit where they are loaded' if merges else ''}.",
        "",
        "```python",
        "import orchestra",
        "",
        f"model = orchestra.load({json.dumps(repo)})",
        "```",
        "",
        "| | model | commit | licence | bridges |",
        "|---|---|---|---|---|",
        *(_row(node, graph, licences) for node in (graph.anchor, *graph.augments)),
        "",
        *_trained(configs, graph),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _row(node: Node, graph: Graph, licences: Mapping[str, str | None]) -> str:
    origins, merge = [origin for origin, _ in weights_of(node.facts)], node.facts.merge
    repos = ", ".join(origin.repo for origin in origins)
    model = node.facts.name if merge is None else f"{json.loads(merge.recipe)['merge_method']} of {repos}"
    commit = ", ".join(f"`{origin.commit[:12]}`" for origin in origins)
    licence = ", ".join(dict.fromkeys(licences.get(origin.repo) or "not stated" for origin in origins)) or "not stated"
    return f"| {node.name} | {text(model)} | {commit} | {text(licence)} | {_bridges(node, graph)} |"


def _bridges(node: Node, graph: Graph) -> str:
    """How many bridges an augment has, into whom, and where they are."""
    stacks = [stack for stack in graph.stacks if stack.augment == node.name]
    return "; ".join(f"{len(graph.sites_of(stack))}{_into(stack, graph)}{_whence(stack)}" for stack in stacks)


def _into(stack: Feed, graph: Graph) -> str:
    return "" if graph.feeds[stack.augment] == (ANCHOR,) else f" into {stack.into}"


def _whence(stack: Feed) -> str:
    return f" of {text(stack.origin.repo)}" if stack.origin else ", untrained" if stack.bundle is None else ""


def _trained(configs: Mapping[Feed, BundleConfig], graph: Graph) -> Iterator[str]:
    """How each stack was trained, and what it scores."""
    for stack, config in sorted(configs.items(), key=lambda item: item[0].name):
        for title, content in (("recipe", config.recipe), ("scores", config.scores)):
            yield from section(f"{stack.augment}{_into(stack, graph)}: {title}", content)
