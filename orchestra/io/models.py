"""Loads checkpoints and tokenizers with transformers: safetensors only, no remote code, nothing printed."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from orchestra.errors import ModelError
from orchestra.io.checkpoint import read_json

# What transformers raises over a folder that it cannot use: it has no error of its own.
_UNLOADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # packed weights have no extremes to ask for
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")


def load_model(folder: Path, *, dtype: str, device: str) -> PreTrainedModel:
    """Load a frozen causal language model from a folder.

    Args:
        dtype: 'auto' keeps the checkpoint's.
        device: 'auto' is the first GPU where there is one, else the CPU.

    Raises:
        ModelError: transformers cannot load it, it needs code of its own, its weights do not fit its config, or they
            hold NaN or infinity.
    """
    place = resolve_device(device)
    _refuse_unknown(folder)
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype="auto" if dtype == "auto" else getattr(torch, dtype),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                output_loading_info=True,
            )
    except _UNLOADABLE as error:
        raise ModelError(f"{folder}: transformers cannot load it: {_told(error)}") from error
    model: PreTrainedModel = loaded[0]
    misfits = list(_misfits(loaded[1], model))
    if misfits:
        more = f" (and {len(misfits) - 3} more)" if len(misfits) > 3 else ""
        raise ModelError(f"{folder}: the weights do not fit the config: {'; '.join(misfits[:3])}{more}.")
    broken = not_finite(model)
    if broken:
        raise ModelError(f"{folder}: holds NaN or infinity in {broken}.")
    model.to(place)  # type: ignore[arg-type]
    model.train(False)
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a model folder; None where it has none.

    Raises:
        ModelError: transformers cannot load it.
    """
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        return None
    try:
        with quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except _UNLOADABLE as error:
        raise ModelError(f"{folder}: transformers cannot load its tokenizer: {_told(error)}") from error
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
    for name, weight in model.state_dict().items():
        # The extremes see NaN and infinity alike, without a copy and without a sum that may overflow.
        if weight.dtype in _FLOATS and weight.numel() and not all(map(torch.isfinite, weight.aminmax())):
            return str(name)
    return None


def memory_fingerprint(model: PreTrainedModel) -> str:
    """SHA-256 of a model that comes from memory: of its weights by name, dtype and shape."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars and warnings inside a `with` block; what the user had set comes back."""
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled() and not are_progress_bars_disabled()
    logging.set_verbosity_error()
    if bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _refuse_unknown(folder: Path) -> None:
    """Raise where transformers has no model of its own for a config, before it asks whether to run foreign code."""
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    if config.get("auto_map"):
        raise ModelError(f"{folder}: its model type {kind!r} needs code of its own (auto_map), which is never run.")
    raise ModelError(f"{folder}: transformers knows no causal language model of type {kind!r}.")


def _misfits(report: Mapping[str, Any], model: PreTrainedModel) -> Iterator[str]:
    """Where the weights and the config of a checkpoint contradict each other."""
    for name in sorted(report["missing_keys"]):
        yield f"{name} is missing"
    for name, found, needed in sorted(report["mismatched_keys"]):
        yield f"{name} has shape {tuple(found)}, not {tuple(needed)}"
    # Some checkpoints carry parts that are not asked for, such as a value head; a layer past the last is another thing.
    families = {_family(name) for name in model.state_dict()}
    for name in sorted(report["unexpected_keys"]):
        if _family(name) in families:
            yield f"{name} is left over"


def _family(name: str) -> str:
    """A weight's name without its numbers: that of its like in every layer."""
    return re.sub(r"\d+", "#", name)


def _told(error: BaseException) -> str:
    """What an error of transformers says, on one line."""
    told = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return told if len(told) <= 300 else told[:297] + "..."
