"""Where the models of a merge are, in folders or on the Hub, and what is known of each. No torch, no mergekit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestra.errors import GraphError, ModelError, OrchestraError
from orchestra.graph import Origin
from orchestra.io.checkpoint import fetched, read_json, weight_files
from orchestra.io.facts import model_facts
from orchestra.io.gguf_facts import is_gguf
from orchestra.io.headers import kept_headers, remote_names
from orchestra.io.hosted import Kind, is_hub_id
from orchestra.io.places import Found, Places
from orchestra.io.safetensors_header import Tensors, read_header
from orchestra.merging.document import references
from orchestra.merging.groups import SourceFacts
from orchestra.merging.result import merged_names


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found of the models of a recipe.

    Attributes:
        places: folders, by the names that the recipe gives.
        origins: of the folders that came from the Hub, whence.
        facts: of the models that are merged, by name; the others lend their tokenizer.
        problems: a line each.
    """

    places: dict[str, Path] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    facts: dict[str, SourceFacts] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def find_sources(recipe: Mapping[str, Any], where: Places) -> Sources:
    """Look for the models of a recipe, each once."""
    found, merged, tried = Sources(), merged_names(recipe), set[str]()
    for place, name in references(recipe):
        if name in tried:
            continue
        tried.add(name)
        try:
            one = _located(name, where, place, "merged" if name in merged else "model")
            found.places[name] = one.path
            if one.origin is not None:
                found.origins[str(one.path)] = one.origin
            if name in merged:
                found.facts[name] = source_facts(one)
        except OrchestraError as error:
            lines = str(error).splitlines()
            found.problems.extend(line if line.startswith(place) else f"{place}: {line}" for line in lines)
    return found


def _located(name: str, where: Places, place: str, kind: Kind) -> Found:
    """The folder of a model. A name with a + or an @ that is no folder's is one of mergekit's longer ways to say it."""
    try:
        return where.find(name, place, kind)
    except GraphError:
        source, at, revision = name.partition("@")
        if "+" in name:
            raise ModelError(
                f"{place} is {name!r}, a model with an adapter; merge the adapter into its model, and name that."
            ) from None
        if not at:
            raise
    if "@" in revision:
        raise GraphError(f"{place} is {name!r}, which has two revisions; name one.")
    if not is_hub_id(source) or (where.folder / source).is_dir():
        where.find(source, place)
        raise GraphError(f"{place} is {name!r}, but {source!r} is a folder, which has no revisions.")
    return where.find(source, place, kind, revision=revision)


def source_facts(found: Found) -> SourceFacts:
    """Read what a model that is to be merged says of itself.

    Raises:
        ModelError: it is no model folder, or one that mergekit does not take.
    """
    folder = found.path
    if is_gguf(folder):
        raise ModelError(f"{folder}: is a GGUF file; mergekit merges folders of safetensors.")
    config, headers = read_json(folder / "config.json"), _headers(found)
    facts = model_facts(folder, origin=found.origin, headers=headers)
    if config.get("quantization_config"):
        raise ModelError(f"{folder}: is quantized; mergekit merges plain weights.")
    names = config.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise ModelError(f"{folder}: its config has no 'architectures' of one name, by which mergekit merges.")
    return SourceFacts(
        path=str(folder),
        config=config,
        architecture=names[0],
        num_layers=facts.num_layers,
        vocab_size=facts.vocab_size,
        shapes={name: shape for header in headers for name, shape in header.shapes.items()},
        weight_bytes=sum(header.weight_bytes for header in headers),
        tokenizer=facts.tokenizer,
    )


def _headers(found: Found) -> list[Tensors]:
    """Of the weights; those that are still on the Hub were read there."""
    if found.origin is not None and not fetched(found.path):
        return kept_headers(found.origin, remote_names(found.origin, found.path)) or []
    return [read_header(path) for path in weight_files(found.path)]
