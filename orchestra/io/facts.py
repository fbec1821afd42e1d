"""What the outside world says about a document, before a weight is read. No torch, no transformers, no network."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestra.errors import GraphError, ModelError, OrchestraError
from orchestra.graph import BundleFacts, Facts, ModelFacts
from orchestra.io.bundle import read_config
from orchestra.io.checkpoint import weight_files
from orchestra.io.safetensors_header import read_header
from orchestra.spec import BridgeRecipe, GraphSpec

# The same number goes by several names in the configs of the Hub.
_ALIASES = {
    "num_layers": ("num_hidden_layers", "n_layer", "n_layers"),
    "d_model": ("hidden_size", "n_embd", "d_model"),
    "num_heads": ("num_attention_heads", "n_head", "n_heads"),
    "vocab_size": ("vocab_size",),
}


def gather(spec: GraphSpec, base: Path, known: Mapping[str, ModelFacts] | None = None) -> tuple[Facts, list[str]]:
    """Collect the facts of every model and bundle that a document names.

    Args:
        base: the folder of the document; relative paths start there.
        known: facts of models that are in memory already, by name.

    Returns:
        The facts that could be read, and one line or more for each that could not.
    """
    models, bundles, problems = dict(known or {}), {}, []
    for name, model in (("anchor", spec.anchor), *sorted(spec.augments.items())):
        where = name if name == "anchor" else f"augments.{name}"
        if name in models or not isinstance(model.model, str) or model.model.endswith(".gguf"):
            continue  # known already, or refused by graph.unsupported
        try:
            models[name] = model_facts(locate(model.model, base, f"{where}.model"))
        except OrchestraError as error:
            problems.append(_prefixed(f"{where}.model", error))
    for name, augment in sorted(spec.augments.items()):
        if isinstance(augment.bridges, BridgeRecipe):
            continue
        try:
            folder = locate(augment.bridges, base, f"augments.{name}.bridges")
            bundles[name] = bundle_facts(folder, name)
        except OrchestraError as error:
            problems.append(_prefixed(f"augments.{name}.bridges", error))
    return Facts(models=models, bundles=bundles), problems


def locate(source: str, base: Path, field: str) -> Path:
    """The folder that a document's field names, as an absolute path.

    Raises:
        GraphError: there is no such folder.
    """
    folder = (base / Path(source).expanduser()).resolve()
    if not folder.is_dir():
        hint = (
            " Models and bundles on the Hub come in a later version; download it, and name the folder."
            if source.count("/") <= 1 and not source.startswith((".", "/", "~"))
            else ""
        )
        raise GraphError(f"{field} is {source!r}, but there is no folder {folder}.{hint}")
    return folder


def model_facts(folder: Path) -> ModelFacts:
    """Read what a model folder says of itself.

    Raises:
        ModelError: no config.json, a config without sizes, or damaged or pickled weights.
    """
    config = _read_json(folder / "config.json")
    headers = [read_header(path) for path in weight_files(folder)]
    return replace(
        config_facts(config, source=str(folder)),
        tokenizer=tokenizer_fingerprint(folder),
        num_params=sum(header.num_params for header in headers),
        weight_bytes=sum(header.weight_bytes for header in headers),
    )


def config_facts(config: Mapping[str, Any], *, source: str) -> ModelFacts:
    """Read the sizes that a config states.

    Raises:
        ModelError: one is missing.
    """
    text = config.get("text_config") or config  # multimodal configs keep the language model's under this name
    if not isinstance(text, Mapping):
        raise ModelError(f"{source}: its config's text_config is not an object.")
    return ModelFacts(
        source=source,
        model_type=str(text.get("model_type", "unknown")),
        num_layers=_size(text, "num_layers", source),
        d_model=_size(text, "d_model", source),
        num_heads=_size(text, "num_heads", source),
        vocab_size=_size(text, "vocab_size", source),
    )


def tokenizer_fingerprint(folder: Path) -> str | None:
    """SHA-256 of what decides the ids of a text; None where the folder has no tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    content = _read_json(path)
    parts = ("normalizer", "pre_tokenizer", "post_processor", "model", "added_tokens")
    canonical = json.dumps({part: content.get(part) for part in parts}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def bundle_facts(folder: Path, augment: str) -> BundleFacts:
    """Read what a bundle says of itself, for the augment of that name.

    Raises:
        BundleError: no bridge_config.json, or one that is damaged.
    """
    config = read_config(folder)
    return BundleFacts(source=str(folder), sites=config.placed(augment), alignment_version=config.alignment_version)


def _size(config: Mapping[str, Any], field: str, source: str) -> int:
    for alias in _ALIASES[field]:
        value = config.get(alias)
        if isinstance(value, int) and value > 0:
            return value
    raise ModelError(f"{source}: its config has no {' or '.join(_ALIASES[field])}.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent}: holds no {path.name}.") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not JSON.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: is not a JSON object.")
    return content


def _prefixed(field: str, error: OrchestraError) -> str:
    text = str(error)
    return text if text.startswith(field) else f"{field}: {text}"
