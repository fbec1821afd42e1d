"""What a graph or a bundle becomes in a repository: its files, with no path of this disk left in them. No network."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestra.errors import HubError
from orchestra.graph import Graph, ModelFacts, Node, Origin
from orchestra.io.bundle import CONFIG_FILE, WEIGHTS_FILE, BundleConfig, read_config, read_weights_header
from orchestra.io.card import card
from orchestra.io.checkpoint import file_sha256
from orchestra.io.graph_card import graph_card
from orchestra.io.hosted import CARD_FILE, GRAPH_FILE, MODEL_SUFFIXES, weights_of
from orchestra.merging.document import references
from orchestra.spec import FORMAT, GraphSpec
from orchestra.wiring import ANCHOR

OURS = ("bridges/", "tokenizers/", "graph.lock.json")
"""What a push replaces in a graph's repository: a lock would be that of an earlier graph."""

Licences = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What goes into a repository.

    Attributes:
        parents: the models on the Hub that it needs.
        texts: writes the files that name the repository or the models' licences, by path.
        files: files that go as they are, by path.
    """

    parents: tuple[Origin, ...]
    texts: Callable[[str, Licences], dict[str, str]]
    files: Mapping[str, Path] = field(default_factory=dict)


def graph_parcel(document: Mapping[str, Any], graph: Graph) -> Parcel:
    """What a graph becomes: its document, the bundles that lie on this disk, and cards.

    Args:
        document: as it stands, or as `declared` says it; models and bundles are filled in.
        graph: what it declares.

    Raises:
        HubError: something that it names cannot be hosted; every problem is listed.
        BundleError: a bundle is damaged.
    """
    problems = list(unhostable(graph))
    local = [stack for stack in graph.stacks if stack.bundle is not None and stack.origin is None]
    folders = {stack: (f"bridges/{graph.place_of(stack)}", Path(stack.bundle or "")) for stack in local}
    configs = {stack: read_config(folder) for stack, (_, folder) in folders.items()}
    problems += (
        f"{stack.field}: {folder}/{WEIGHTS_FILE} is not the file that {CONFIG_FILE} names by its SHA-256."
        for stack, (_, folder) in folders.items()
        if file_sha256(folder / WEIGHTS_FILE) != configs[stack].weights_sha256
    )
    if problems:
        raise HubError.listing(problems)
    hosted = _hosted(document, graph)
    files = {
        f"{place}/{name}": folder / name for place, folder in folders.values() for name in (CONFIG_FILE, WEIGHTS_FILE)
    }
    origins = dict.fromkeys(origin for _, node in _nodes(graph) for origin, _ in weights_of(node.facts))

    def texts(repo: str, licences: Licences) -> dict[str, str]:
        return {
            GRAPH_FILE: json.dumps(hosted, indent=2, ensure_ascii=False) + "\n",
            CARD_FILE: graph_card(repo, graph, configs, licences),
            **{
                f"{place}/{CARD_FILE}": _bundle_card(folder, configs[stack], licences)
                for stack, (place, folder) in folders.items()
            },
        }

    return Parcel(parents=tuple(origins), texts=texts, files={**files, **dict(_tokenizers(graph))})


def bundle_parcel(folder: Path) -> Parcel:
    """What a bundle becomes that has a repository of its own.

    Raises:
        BundleError: it is none, or damaged.
        HubError: its weights are not those that it names.
    """
    config = read_config(folder)
    told = _bundle_card(folder, config, {})
    if file_sha256(folder / WEIGHTS_FILE) != config.weights_sha256:
        raise HubError(f"{folder}/{WEIGHTS_FILE} is not the file that {CONFIG_FILE} names by its SHA-256.")
    files = {name: folder / name for name in (CONFIG_FILE, WEIGHTS_FILE)}
    return Parcel(parents=(), texts=lambda _repo, _licences: {CARD_FILE: told}, files=files)


def unhostable(graph: Graph) -> Iterator[str]:
    """What keeps a graph from being hosted, a line each."""
    for where, node in _nodes(graph):
        for place, source in _here(node.facts):
            kind = "file" if Path(source).is_file() else "folder"
            what = f"the {kind} {source}" if Path(source).exists() else "in memory only"
            yield f"{where}.{place} is {what}; a graph on the Hub names models on the Hub: upload it, and name its id."
        if _own_tokenizer(node) and Path(node.tokenizer or "").is_file():
            yield f"{where}.tokenizer is the file {node.tokenizer}; only a folder can be uploaded with the graph."


def _here(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    """The fields of a model, or of a merge of some, that name what is not on the Hub; each source once."""
    if facts.merge is None:
        yield from [("model", facts.source)] if facts.origin is None else []
        return
    fields = {int(number): field for field, number in reversed(references(json.loads(facts.merge.recipe)))}
    for index, (source, origin, adapter) in enumerate(
        zip(facts.merge.sources, facts.parents, facts.adapters, strict=True)
    ):
        if origin is None:
            yield f"model.merge.{fields[index]}", source.folder
        if source.adapter is not None and adapter is None:
            yield f"model.merge.{fields[index]}", source.adapter


def declared(spec: GraphSpec) -> dict[str, Any]:
    """A document as its file says it, without what holds on this machine only: `$schema` and devices."""
    said: dict[str, Any] = spec.model_dump(mode="json", exclude_unset=True, exclude={"schema_"})
    for model in (said["anchor"], *said["augments"].values()):
        model.pop("device", None)
    return said


def restated(graph: Graph) -> dict[str, Any]:
    """The document of a composition, from what is known of it; every stack is to be a bundle."""
    fresh = Node(name="", facts=graph.anchor.facts, dtype="auto", device="auto")
    fields = ("dtype", "enabled", "template", "tail", "context")

    def said(node: Node) -> dict[str, Any]:
        into = graph.feeds.get(node.name, (ANCHOR,))
        own = {name: getattr(node, name) for name in fields if getattr(node, name) != getattr(fresh, name)}
        return own if into == (ANCHOR,) else {**own, "into": list(into)}

    return {
        "format": FORMAT,
        "description": graph.description,
        "anchor": said(graph.anchor),
        "augments": {node.name: said(node) for node in graph.augments},
    }


def _hosted(document: Mapping[str, Any], graph: Graph) -> dict[str, Any]:
    """The document with every local path rewritten, and every repository pinned to its commit."""
    said = {name: document["augments"][name] for name in sorted(document["augments"])}
    nodes = {node.name: node for node in graph.augments}
    return {
        **document,
        "anchor": _pinned(document["anchor"], graph.anchor),
        "augments": {
            name: {**_pinned(fields, nodes[name]), **_bridges(fields, name, graph)} for name, fields in said.items()
        },
    }


def _pinned(fields: Mapping[str, Any], node: Node) -> dict[str, Any]:
    own = {"tokenizer": f"./tokenizers/{node.name}"} if _own_tokenizer(node) else {}
    elsewhere = ("model", "revision", "into", "bridges", "bridges_revision")
    rest = {name: value for name, value in fields.items() if name not in elsewhere}
    return {**_model(node), **rest, **own}


def _model(node: Node) -> dict[str, Any]:
    """What a document says of a model, or of a merge, whose weights come from the Hub."""
    merge, origin = node.facts.merge, node.facts.origin
    if merge is None:
        assert origin is not None
        return {"model": origin.repo, "revision": origin.commit}
    pairs = zip(node.facts.parents, node.facts.adapters, strict=True)
    names = ["+".join(f"{one.repo}@{one.commit}" for one in pair if one is not None) for pair in pairs]
    said: dict[str, Any] = {"merge": merge.restated(names)}
    said |= {"tokenizer": f"./{_kept(node)}"} if merge.keeps else {}
    return {"model": {**said, "seed": merge.seed} if merge.seed else said}


def _bridges(fields: Mapping[str, Any], name: str, graph: Graph) -> dict[str, Any]:
    """Whom an augment feeds, and by which bridges: in a list and one field, or an object where each has its own."""
    stacks = [stack for stack in graph.stacks if stack.augment == name]
    into = fields.get("into", [ANCHOR])
    said = dict(into) if isinstance(into, Mapping) else dict.fromkeys(into, fields.get("bridges"))
    for stack in stacks:
        if stack.bundle is not None:
            said[stack.into] = stack.origin.repo if stack.origin else f"./bridges/{graph.place_of(stack)}"
    commits = {stack.into: stack.origin.commit for stack in stacks if stack.origin}
    if len(stacks) > 1 and (isinstance(into, Mapping) or any(stack.bundle for stack in stacks)):
        return {"into": said, **({"bridges_revision": commits} if commits else {})}
    (bridges, *_) = said.values()
    return {
        **({"into": list(said)} if list(said) != [ANCHOR] else {}),
        **({"bridges": bridges} if bridges is not None else {}),
        **({"bridges_revision": commits[stacks[0].into]} if commits else {}),
    }


def _tokenizers(graph: Graph) -> Iterator[tuple[str, Path]]:
    for _, node in _nodes(graph):
        own = [(f"tokenizers/{node.name}", node.tokenizer)] if _own_tokenizer(node) else []
        merge = node.facts.merge
        own += [(_kept(node), merge.tokenizer)] if merge is not None and merge.keeps else []
        for place, folder in own:
            for path in sorted(Path(folder or "").iterdir()):
                if path.suffix in MODEL_SUFFIXES and path.is_file():
                    yield f"{place}/{path.name}", path


def _kept(node: Node) -> str:
    """Where in a repository the tokenizer is that was named beside the recipe of a merge."""
    return f"tokenizers/{node.name}/merge"


def _own_tokenizer(node: Node) -> bool:
    """Whether a document names a tokenizer that is not the model's."""
    models = node.facts.merge.tokenizer if node.facts.merge else None
    return node.tokenizer is not None and node.tokenizer not in (node.facts.source, models)


def _bundle_card(folder: Path, config: BundleConfig, licences: Licences) -> str:
    return card(config, read_weights_header(folder).num_params, licences=licences)


def _nodes(graph: Graph) -> list[tuple[str, Node]]:
    return [("anchor", graph.anchor), *((f"augments.{node.name}", node) for node in graph.augments)]
