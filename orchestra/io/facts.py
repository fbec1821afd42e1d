"""What the outside world says about a document, before a weight is read. No torch, no transformers, no network."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestra.errors import BundleError, GraphError, ModelError, OrchestraError
from orchestra.files import TOKENIZER_BYTES
from orchestra.graph import BundleFacts, Facts, ModelFacts, Origin, stack_name
from orchestra.io.bundle import read_config, read_weights_header
from orchestra.io.checkpoint import fetched, read_json, remembered, weight_files
from orchestra.io.gguf_facts import CONVERSION, gguf_config, gguf_tokenizer, is_gguf
from orchestra.io.gguf_header import GgufHeader, read_gguf
from orchestra.io.hosted import Hub, Snapshot, cached
from orchestra.io.places import Places
from orchestra.io.safetensors_header import Tensors, read_header
from orchestra.io.suspect import why_config, why_tokenizer
from orchestra.io.unsuited import why_unsuited
from orchestra.plan import num_params
from orchestra.problems import printable, show
from orchestra.spec import AugmentSpec, BridgeRecipe, GraphSpec
from orchestra.wiring import ANCHOR

# The same number goes by several names in the configs of the Hub.
_ALIASES = {
    "num_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "d_model": ("hidden_size", "n_embd", "d_model"),
    "num_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"),
    "vocab_size": ("vocab_size",),
}
_ROOM = 2
"""How much more than what its file holds is made room for, before what is missing is named."""


def gather(
    spec: GraphSpec,
    base: Path,
    known: Mapping[str, ModelFacts] | None = None,
    tokenizers: Mapping[str, str | None] | None = None,
    *,
    root: Snapshot | None = None,
    hub: Hub = cached,
) -> tuple[Facts, list[str]]:
    """Collect the facts of every model and bundle that a document names.

    Args:
        base: the folder of the document; relative paths start there.
        known: facts of models that are in memory already, by name.
        tokenizers: fingerprints of tokenizers that are in memory already, by the name of their model.
        root: the repository on the Hub that the document came from; it may not leave it.
        hub: where repositories come from; by default the Hub's cache alone.

    Returns:
        The facts that could be read, and one line or more for each that could not.
    """
    models, given, sources, bundles, problems = dict(known or {}), dict(tokenizers or {}), dict[str, str](), {}, []
    places = Places(folder=base, root=root, hub=hub)
    for name, model in (("anchor", spec.anchor), *sorted(spec.augments.items())):
        where = name if name == "anchor" else f"augments.{name}"
        # What is not read here is known already, or refused by checking.unsupported.
        if name not in models and isinstance(model.model, str):
            try:
                found = places.find(
                    model.model, f"{where}.model", "model", revision=model.revision, revision_field=f"{where}.revision"
                )
                models[name] = model_facts(found.path, origin=found.origin)
                sources[name] = models[name].source
            except OrchestraError as error:
                problems += _lines(f"{where}.model", error, f"{where}.revision")
        if name not in given and model.tokenizer is not None:
            try:
                sources[name], given[name] = _tokenizer(model.tokenizer, places, f"{where}.tokenizer")
            except OrchestraError as error:
                problems += _lines(f"{where}.tokenizer", error)
    for name, augment in sorted(spec.augments.items()):
        problems += _revisions_of_nothing(name, augment)
        for into, bridges in augment.feeds().items():
            if isinstance(bridges, BridgeRecipe):
                continue
            field, where, revision = (
                augment.field(name, into),
                augment.revision_field(name, into),
                augment.revision_of(into),
            )
            try:
                found = places.find(bridges, field, "bundle", revision=revision, revision_field=where)
                told = bundle_facts(found.path, name, into)
                bundles[stack_name(name, into)] = replace(told, origin=found.origin)
            except OrchestraError as error:
                problems += _lines(field, error, where)
    models |= {name: replace(models[name], tokenizer=given[name]) for name in models.keys() & given.keys()}
    own = {name: source for name, source in sources.items() if name not in (tokenizers or {})}
    return Facts(models=models, bundles=bundles, tokenizers=own), problems


def _revisions_of_nothing(name: str, augment: AugmentSpec) -> Iterator[str]:
    """Revisions that are given where bridges are fresh."""
    feeds, given = augment.feeds(), augment.bridges_revision
    fresh = [into for into, bridges in feeds.items() if isinstance(bridges, BridgeRecipe)]
    if isinstance(given, str) and len(fresh) < len(feeds):
        return  # it is that of the others
    for field, into in {augment.revision_field(name, into): into for into in fresh}.items():
        if (revision := augment.revision_of(into)) is not None:
            yield f"{field} is {revision!r}, but its bridges are fresh, and have no revisions; drop it."


def _tokenizer(source: str, places: Places, field: str) -> tuple[str, str]:
    """Where the tokenizer is that a document's field names, and its fingerprint."""
    place = places.find(source, field).path
    found = gguf_tokenizer(read_gguf(place)) if is_gguf(place) else tokenizer_fingerprint(place)
    if found is None:
        raise GraphError(
            f"{field} is {source!r}, which holds no tokenizer; "
            "name a folder that holds a tokenizer.json, or a GGUF file with a tokenizer."
        )
    return str(place), found


def model_config(source: Path) -> dict[str, Any]:
    """The config of a model folder; of a GGUF file, what its header says in the same words.

    Raises:
        ModelError: there is none that can be read.
    """
    return gguf_config(source) if is_gguf(source) else read_json(source / "config.json")


def model_facts(folder: Path, *, origin: Origin | None = None, headers: Sequence[Tensors] | None = None) -> ModelFacts:
    """Read what a model folder, or a GGUF file, says of itself.

    Args:
        origin: of a folder in the Hub's cache, where the weights may not have been fetched yet.
        headers: of its weights, where they have been read already.

    Raises:
        ModelError: no config.json, a config without sizes, or weights that are damaged, pickled, or whole numbers that
            nothing says how to read; likewise of a GGUF file.
    """
    if is_gguf(folder):
        return _gguf_facts(folder)
    config = read_json(folder / "config.json")
    if "transformers_weights" in config:
        raise ModelError(
            f"{folder}: its config names its weights itself (transformers_weights); call them model.safetensors."
        )
    absent = origin is not None and headers is None and not fetched(folder)
    if headers is None:
        headers = [] if absent else [read_header(path) for path in weight_files(folder)]
    _refuse(folder, why_config(config, sum(len(header.shapes) for header in headers)))
    if not config.get("quantization_config"):
        _refuse_whole_numbers(folder, headers)
    facts = config_facts(config, source=str(folder))
    facts = replace(facts, tokenizer=tokenizer_fingerprint(folder), origin=origin)
    return facts if absent else _held(facts, headers)


def _refuse_whole_numbers(folder: Path, headers: Sequence[Tensors]) -> None:
    """Raise over packed weights in a plain model: transformers would take each packed number for a weight."""
    for header in headers:
        for name, dtype in header.dtypes.items():
            if name.endswith("weight") and not dtype.startswith(("F", "BF")):
                raise ModelError(
                    f"{folder}: {printable(name)} holds {dtype}, and no quantization_config in its config says how "
                    "to read that; weights are F64, F32, F16 or BF16."
                )


def _gguf_facts(path: Path) -> ModelFacts:
    header = read_gguf(path)
    config = gguf_config(path, header)
    _refuse(path, why_config(config, len(header.shapes)))
    facts = config_facts(config, source=str(path))
    return _held(replace(facts, tokenizer=gguf_tokenizer(header), conversion=CONVERSION), [header])


def _held(facts: ModelFacts, headers: Sequence[Tensors | GgufHeader]) -> ModelFacts:
    """The facts of a config with those of its files, once these hold as many bits as the model is wide."""
    num_params, weight_bytes = sum(held.num_params for held in headers), sum(held.weight_bytes for held in headers)
    if facts.d_model > 8 * weight_bytes:
        raise ModelError(
            f"{facts.source}: its config says that its width is {show(facts.d_model)}, "
            f"but its files hold {num_params} numbers."
        )
    return replace(facts, num_params=num_params, weight_bytes=weight_bytes)


def config_facts(config: Mapping[str, Any], *, source: str) -> ModelFacts:
    """Read the sizes that a config states.

    Raises:
        ModelError: one is missing, or the architecture cannot be composed.
    """
    text = config.get("text_config") or config  # multimodal configs keep the language model's under this name
    if not isinstance(text, Mapping):
        raise ModelError(f"{source}: its config's text_config is not an object.")
    model_type = text.get("model_type")
    if not isinstance(model_type, str) or not model_type or printable(model_type) != model_type:
        raise ModelError(f"{source}: its config has no model_type.")
    if reason := why_unsuited(config if config.get("is_encoder_decoder") is True else text):
        raise ModelError(f"{source}: {reason}")
    return ModelFacts(
        source=source,
        model_type=model_type,
        num_layers=_size(text, "num_layers", source),
        d_model=_size(text, "d_model", source),
        num_heads=_size(text, "num_heads", source),
        vocab_size=_size(text, "vocab_size", source),
    )


def tokenizer_fingerprint(folder: Path) -> str | None:
    """SHA-256 of what decides the ids of a text; None where the folder has no tokenizer.json.

    Padding, truncation and chat template do not decide ids, and neither does the version that wrote the file.
    """
    path = folder / "tokenizer.json"
    return remembered(path, "tokenizer", _tokenizer_file_digest) if path.is_file() else None


def _tokenizer_file_digest(path: Path) -> str:
    content = read_json(path, TOKENIZER_BYTES)
    if not isinstance(content.get("model"), dict):
        raise ModelError(f"{path}: has no model.")
    _refuse(path, why_tokenizer(content))
    return tokenizer_digest(content)


def tokenizer_digest(content: Mapping[str, Any]) -> str:
    """The fingerprint of a tokenizer that is not in a folder, of the content of its tokenizer.json."""
    model = content["model"]
    # Later versions write the defaults out, and each merge as a pair.
    model = {name: value for name, value in model.items() if value is not None and value is not False}
    if isinstance(model.get("merges"), list):
        model["merges"] = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"]]
    parts = {part: content.get(part) for part in ("normalizer", "pre_tokenizer", "post_processor", "added_tokens")}
    return hashlib.sha256(json.dumps({**parts, "model": model}, sort_keys=True).encode()).hexdigest()


def bundle_facts(folder: Path, augment: str, into: str = ANCHOR) -> BundleFacts:
    """Read what a bundle says of itself, for the augment of that name and the model that it feeds.

    Raises:
        BundleError: no bridge_config.json, or no weights, or one of them is damaged.
    """
    config = read_config(folder)
    held, sites = read_weights_header(folder).num_params, config.placed(augment, into)
    needed = sum(map(num_params, sites))
    if needed > _ROOM * held:
        raise BundleError(
            f"{folder}: its {len(sites)} sites need more weights than its file holds: {show(needed)}, not {held}; "
            "fetch or train it again."
        )
    return BundleFacts(source=str(folder), sites=sites, alignment_version=config.alignment_version)


def _refuse(source: Path, problems: Iterable[str]) -> None:
    """Raise where there are problems; they follow the name of the file."""
    if found := [f"{source}: {problem}" for problem in problems]:
        raise ModelError.listing(found)


def _size(config: Mapping[str, Any], field: str, source: str) -> int:
    for alias in _ALIASES[field]:
        value = config.get(alias)
        if type(value) is int and value > 0:
            return value
    raise ModelError(f"{source}: its config has no {' or '.join(_ALIASES[field])}.")


def _lines(field: str, error: OrchestraError, *others: str) -> list[str]:
    """The lines of an error, each with the document's field in front, or with one of the others that it names."""
    return [line if line.startswith((field, *others)) else f"{field}: {line}" for line in str(error).splitlines()]
