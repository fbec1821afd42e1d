"""plan(): from a document to what it would run, before a weight is read. No torch, no transformers, no network."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestra import checking
from orchestra import plan as plans
from orchestra.cost.config import shape
from orchestra.cost.shape import Shape
from orchestra.errors import GraphError
from orchestra.graph import Facts, ModelFacts
from orchestra.io.document import Document, read
from orchestra.io.facts import gather, model_config
from orchestra.io.hosted import Fetching, Hub, cached, weights_of
from orchestra.io.merge_facts import config_folder, gather_merges
from orchestra.io.places import Places
from orchestra.plan import Plan


def plan(
    source: str | Path | Mapping[str, Any] | Document,
    *,
    revision: str | None = None,
    hub: Hub = cached,
    known: Mapping[str, ModelFacts] | None = None,
    tokenizers: Mapping[str, str | None] | None = None,
) -> Plan:
    """Work out what a graph would run, without loading a weight.

    Args:
        source: a graph's path, its repository on the Hub, or the document itself; relative paths in a document start
            at the working directory.
        revision: the commit, tag or branch of the repository.
        hub: where repositories come from; by default the Hub's cache alone.
        known: facts of models that are in memory already, by name ('anchor' and augments); their `model` field is
            not read.
        tokenizers: fingerprints of tokenizers that are in memory already, likewise; None where there is none.

    Raises:
        SpecError: the document is not a graph; every problem is listed.
        GraphError: the graph cannot exist; every problem is listed.
        HubError: the repository is not to be had.
        LockError: the lock beside the graph is none, or belongs to another document.
    """
    document = source if isinstance(source, Document) else read(source, revision=revision, hub=hub)
    names = ["anchor", *sorted(document.spec.augments)]
    for given, by_name in (("models", known), ("tokenizers", tokenizers)):
        if strangers := sorted(set(by_name or {}) - {*names}):
            told = ", ".join(names)
            raise GraphError(f"{given} has {strangers[0]!r}, which the graph does not name; it names {told}.")
    facts, problems = gathered(document, hub, known=known, tokenizers=tokenizers)
    return plans.plan(checking.check(document.spec, facts, problems))


def gathered(
    document: Document,
    hub: Hub,
    *,
    known: Mapping[str, ModelFacts] | None = None,
    tokenizers: Mapping[str, str | None] | None = None,
) -> tuple[Facts, list[str]]:
    """What is known of all that a document names, and one line or more for each that nothing is known of.

    Arguments as for `plan`.
    """
    places = Places(folder=document.folder, root=document.root, hub=hub)
    merged, own, unmade = gather_merges(document.spec, places, known or {})
    held = {**merged, **(known or {})}
    facts, problems = gather(document.spec, document.folder, held, tokenizers, root=document.root, hub=hub)
    return replace(facts, tokenizers={**own, **facts.tokenizers}), [*unmade, *problems]


def fetched_plan(
    document: Document,
    hub: Fetching,
    *,
    known: Mapping[str, ModelFacts] | None = None,
    tokenizers: Mapping[str, str | None] | None = None,
) -> Plan:
    """The plan of a document whose models are all here: what can be refused without weights is, before they come.

    Raises:
        GraphError: the graph cannot exist; every problem is listed.
        HubError: weights are not to be had.
        ModelError: a repository has none that are loaded.
    """
    planned = plan(document, hub=hub, known=known, tokenizers=tokenizers)
    nodes = (planned.graph.anchor, *planned.graph.augments)
    needs = {need for node in nodes for need in weights_of(node.facts)}
    for origin, kind in sorted(needs, key=str):
        hub.weights(origin, kind)
    return plan(document, hub=hub, known=known, tokenizers=tokenizers) if needs else planned


def shapes(planned: Plan) -> dict[str, Shape]:
    """The sizes of every model of a plan, by name, from its config.

    Raises:
        ModelError: a config cannot be read.
    """
    found = {}
    for node in (planned.graph.anchor, *planned.graph.augments):
        config = model_config(config_folder(node.facts))
        own = {"num_hidden_layers": node.facts.num_layers, "vocab_size": node.facts.vocab_size}
        found[node.name] = shape({**config, **own} if node.facts.merge else config)
    return found
