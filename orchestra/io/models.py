"""Loads checkpoints and tokenizers with transformers: safetensors only, no remote code, nothing printed.

A GGUF file is loaded from the folder that it is converted into, once.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from orchestra.errors import ModelError
from orchestra.files import TOKENIZER_BYTES, check_size
from orchestra.io.checkpoint import read_json, weight_files
from orchestra.io.conversion import converted
from orchestra.io.finite import finite
from orchestra.io.foreign import UNLOADABLE, misfits, quiet, tokenizers_errors, told
from orchestra.io.gguf_facts import is_gguf
from orchestra.io.room import check_room
from orchestra.io.safetensors_header import read_header
from orchestra.problems import show

_TEXTS = (".json", ".txt", ".model", ".jinja")
_MOST_BEAMS = 1_000
_PROBE = "Aa 1\u00e9\u0301, \u4e2d\n"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")


def load_model(folder: Path, *, dtype: str, device: str) -> PreTrainedModel:
    """Load a frozen causal language model from a folder or a GGUF file.

    Args:
        dtype: 'auto' keeps the checkpoint's.
        device: 'auto' is the first GPU where there is one, else the CPU.

    Raises:
        ModelError: transformers cannot load it, it needs code of its own, its weights do not fit its config, or they
            hold NaN or infinity.
    """
    place = resolve_device(device)
    folder = converted(folder) if is_gguf(folder) else folder
    _refuse_unknown(folder)
    _refuse_long(folder)
    headers = [read_header(path) for path in weight_files(folder)]
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            check_room(folder, config, headers)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype="auto" if dtype == "auto" else getattr(torch, dtype),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                output_loading_info=True,
            )
    except UNLOADABLE as error:
        raise ModelError(f"{folder}: transformers cannot load it: {told(error)}") from error
    model: PreTrainedModel = loaded[0]
    wrong = list(misfits(loaded[1], model))
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise ModelError(f"{folder}: the weights do not fit the config: {'; '.join(wrong[:3])}{more}.")
    broken = not_finite(model)
    if broken:
        held = "" if dtype == "auto" else f", held as {dtype}"
        raise ModelError(f"{folder}: holds NaN or infinity in {broken}{held}.")
    _refuse_wide(folder, model)
    model.to(place)  # type: ignore[arg-type]
    model.train(False)
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a model folder or a GGUF file; None where it has none.

    Raises:
        ModelError: transformers cannot load it.
    """
    folder = converted(folder) if is_gguf(folder) else folder
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        return None
    _refuse_long(folder)
    try:
        with quiet(), tokenizers_errors():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            _try(tokenizer)
    except UNLOADABLE as error:
        raise ModelError(f"{folder}: transformers cannot load its tokenizer: {told(error)}") from error
    return tokenizer


def resolve_device(device: str) -> torch.device:
    """The torch device of a name from a document, with its index.

    Raises:
        ModelError: there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without it
        raise ModelError(f"device is {device!r}; torch has no such device here.") from error
    if place.type == "meta":
        raise ModelError("device is 'meta'; it holds no values.")
    return place


def not_finite(model: PreTrainedModel) -> str | None:
    """The name of a weight that holds NaN or infinity; None where all is well."""
    return next((str(name) for name, weight in model.state_dict().items() if not finite(weight)), None)


def memory_fingerprint(model: PreTrainedModel) -> str:
    """SHA-256 of a model that comes from memory: of its weights by name, dtype and shape."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _refuse_wide(folder: Path, model: PreTrainedModel) -> None:
    """Raise where a checkpoint asks `generate` for more texts at once than anyone means."""
    for name in ("num_beams", "num_return_sequences"):
        value = getattr(model.generation_config, name, None)
        if isinstance(value, int) and value > _MOST_BEAMS:
            raise ModelError(f"{folder}: its generation_config has {name} {show(value)}; {_MOST_BEAMS} are allowed.")


def _refuse_long(folder: Path) -> None:
    """Raise over a file beside the weights that is too long to be read whole, as transformers reads it."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _TEXTS and path.is_file():
            try:
                check_size(path, TOKENIZER_BYTES)
            except OSError as error:
                raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error


def _try(tokenizer: PreTrainedTokenizerBase) -> None:
    """Read a few characters of each kind; one that has no token for them is none the worse for that."""
    if tokenizer.is_fast:
        with suppress(ValueError), tokenizers_errors():
            tokenizer(_PROBE)


def _refuse_unknown(folder: Path) -> None:
    """Raise where transformers has no model of its own for a config, before it asks whether to run foreign code."""
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    if config.get("auto_map"):
        raise ModelError(f"{folder}: its model type {kind!r} needs code of its own (auto_map), which is never run.")
    raise ModelError(f"{folder}: transformers knows no causal language model of type {kind!r}.")
