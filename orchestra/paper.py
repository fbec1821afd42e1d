"""plan(): from a document to what it would run, before a weight is read. No torch, no transformers, no network."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestra import graph as graphs
from orchestra import plan as plans
from orchestra import spec as specs
from orchestra.errors import GraphError
from orchestra.graph import ModelFacts
from orchestra.io.facts import gather
from orchestra.io.merge_facts import gather_merges
from orchestra.plan import Plan


def plan(
    source: str | Path | Mapping[str, Any],
    *,
    known: Mapping[str, ModelFacts] | None = None,
    tokenizers: Mapping[str, str | None] | None = None,
) -> Plan:
    """Work out what a graph would run, without loading a weight.

    Args:
        source: a graph's path, or the document itself; relative paths in a document start at the working directory.
        known: facts of models that are in memory already, by name ('anchor' and augments); their `model` field is
            not read.
        tokenizers: fingerprints of tokenizers that are in memory already, likewise; None where there is none.

    Raises:
        SpecError: the document is not a graph; every problem is listed.
        GraphError: the graph cannot exist; every problem is listed.
    """
    if isinstance(source, Mapping):
        spec, folder = specs.parse(source), Path.cwd()
    else:
        path = Path(source).expanduser()
        spec, folder = specs.read(path), path.resolve().parent
    names = ["anchor", *sorted(spec.augments)]
    for given, by_name in (("models", known), ("tokenizers", tokenizers)):
        if strangers := sorted(set(by_name or {}) - {*names}):
            told = ", ".join(names)
            raise GraphError(f"{given} has {strangers[0]!r}, which the graph does not name; it names {told}.")
    merged, places, unmade = gather_merges(spec, folder, known or {})
    facts, problems = gather(spec, folder, {**merged, **(known or {})}, tokenizers)
    facts = replace(facts, tokenizers={**places, **facts.tokenizers})
    return plans.plan(graphs.check(spec, facts, [*unmade, *problems]))
