"""The README.md of a graph's repository: a model card that says who is joined, by what, and under which licences."""

import json
from collections.abc import Iterator, Mapping

from orchestra.graph import Graph, Node, Origin
from orchestra.io.bundle import BundleConfig
from orchestra.io.card import metadata, section, text
from orchestra.io.hosted import weights_of
from orchestra.plan import num_params


def graph_card(repo: str, graph: Graph, configs: Mapping[str, BundleConfig], licences: Mapping[str, str | None]) -> str:
    """The card of a graph on the Hub, with the metadata block that the Hub reads.

    Args:
        configs: of the bundles that lie in the repository, by augment.
        licences: by the id of a model; None where it says none.
    """
    parents = [origin for node in (graph.anchor, *graph.augments) for origin, _ in weights_of(node.facts)]
    merges = any(node.facts.merge is not None for node in (graph.anchor, *graph.augments))
    count, total = len(graph.augments), sum(map(num_params, graph.sites))
    lines = [
        *metadata((origin.repo for origin in parents), "pipeline_tag: text-generation"),
        f"# {text(repo.rpartition('/')[2])}",
        "",
        *([text(graph.description), ""] if graph.description else []),
        f"The frozen anchor **{text(graph.anchor.facts.name)}** reads {count} frozen "
        f"augment{'s' if count > 1 else ''} through trained bridges ({total:,} parameters). This repository holds the "
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
        *_trained(configs),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _row(node: Node, graph: Graph, licences: Mapping[str, str | None]) -> str:
    origins, merge = [origin for origin, _ in weights_of(node.facts)], node.facts.merge
    sites = sum(site.augment == node.name for site in graph.sites)
    repos = ", ".join(origin.repo for origin in origins)
    model = node.facts.name if merge is None else f"{json.loads(merge.recipe)['merge_method']} of {repos}"
    commit = ", ".join(f"`{origin.commit[:12]}`" for origin in origins)
    licence = ", ".join(dict.fromkeys(licences.get(origin.repo) or "not stated" for origin in origins)) or "not stated"
    return f"| {node.name} | {text(model)} | {commit} | {text(licence)} | {_bridges(node, sites)} |"


def _bridges(node: Node, sites: int) -> str:
    if node.name == "anchor":
        return ""
    return f"{sites}{_whence(node.bundle_origin)}" if node.bundle is not None else f"{sites}, untrained"


def _whence(origin: Origin | None) -> str:
    return f" of {text(origin.repo)}" if origin else ""


def _trained(configs: Mapping[str, BundleConfig]) -> Iterator[str]:
    """How each stack was trained, and what it scores."""
    for name, config in sorted(configs.items()):
        for title, content in (("recipe", config.recipe), ("scores", config.scores)):
            yield from section(f"{name}: {title}", content)
