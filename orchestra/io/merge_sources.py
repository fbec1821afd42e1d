"""Where the models of a merge are, in folders or on the Hub, and what is known of each. No torch, no mergekit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestra.errors import GraphError, ModelError, OrchestraError
from orchestra.graph import Origin
from orchestra.io.adapter_facts import check_adapter
from orchestra.io.checkpoint import fetched, read_json, weight_files
from orchestra.io.facts import model_facts
from orchestra.io.gguf_facts import is_gguf
from orchestra.io.headers import kept_headers, remote_names
from orchestra.io.hosted import Kind, is_hub_id
from orchestra.io.places import Found, Places
from orchestra.io.safetensors_header import Tensors, read_header
from orchestra.merging.document import parts, references
from orchestra.merging.groups import SourceFacts
from orchestra.merging.merge import Source
from orchestra.merging.result import merged_names


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found of the models of a recipe.

    Attributes:
        models: by the names that the recipe gives.
        origins: of the folders that came from the Hub, whence.
        facts: of the models that are merged, by name; the others lend their tokenizer.
        problems: a line each.
    """

    models: dict[str, Source] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    facts: dict[str, SourceFacts] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def places(self) -> dict[str, Path]:
        """The folders of the models, by their names."""
        return {name: Path(model.folder) for name, model in self.models.items()}

    def called(self, model: Source) -> str:
        """What people call a model."""
        folders = [model.folder] if model.adapter is None else [model.folder, model.adapter]
        origins = map(self.origins.get, folders)
        found = [origin.repo if origin else Path(one).name for one, origin in zip(folders, origins, strict=True)]
        return "+".join(found)


def find_sources(recipe: Mapping[str, Any], where: Places) -> Sources:
    """Look for the models of a recipe, each once."""
    found, merged, tried = Sources(), merged_names(recipe), set[str]()
    for place, name in references(recipe):
        if name in tried:
            continue
        tried.add(name)
        try:
            model, adapter = _located(name, where, place, "merged" if name in merged else "model")
            facts = source_facts(model) if name in merged else None
            if facts is not None and adapter is not None:
                check_adapter(adapter, facts.shapes)
        except OrchestraError as error:
            lines = str(error).splitlines()
            found.problems.extend(line if line.startswith(place) else f"{place}: {line}" for line in lines)
            continue
        found.models[name] = Source(str(model.path), str(adapter.path) if adapter else None)
        found.origins.update({str(one.path): one.origin for one in (model, adapter) if one and one.origin})
        found.facts.update({name: facts} if facts else {})
    return found


def _located(name: str, where: Places, place: str, kind: Kind) -> tuple[Found, Found | None]:
    """The folder of a model, and of the adapter that is added to it.

    A name with a + or an @ that is no folder's is one of mergekit's longer ways to say it.
    """
    try:
        return where.find(name, place, kind), None
    except GraphError:
        (source, revision), *adapters = parts(name)
        if revision is None and not adapters:
            raise
    if len(adapters) > 1:
        raise GraphError(f"{place} is {name!r}, which has {len(adapters)} adapters; one can be added to a model.")
    model = _revised(name, source, revision, where, place, kind)
    return model, _revised(name, *adapters[0], where, place, "adapter") if adapters else None


def _revised(name: str, source: str, revision: str | None, where: Places, place: str, kind: Kind) -> Found:
    if revision is None:
        return where.find(source, place, kind)
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
