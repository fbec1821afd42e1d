"""Loads checkpoints and tokenizers with transformers: safetensors only, no remote code, one copy of each."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from orchestra.errors import ModelError


def load_model(folder: Path, *, dtype: str, device: str) -> PreTrainedModel:
    """Load a frozen causal language model from a folder.

    Args:
        dtype: 'auto' keeps the checkpoint's.
        device: 'auto' is the first GPU where there is one, else the CPU.

    Raises:
        ModelError: transformers cannot load it, weights are missing, or they hold NaN or infinity.
    """
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto" if dtype == "auto" else getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder}: transformers cannot load it: {error}") from error
    model: PreTrainedModel = loaded[0]
    report: dict[str, Any] = loaded[1]
    for what in ("missing_keys", "mismatched_keys"):
        if report[what]:
            names = ", ".join(sorted(map(str, report[what]))[:3])
            raise ModelError(f"{folder}: the weights do not fit the config: {what.replace('_', ' ')}: {names}.")
    broken = [name for name, weight in model.named_parameters() if not torch.isfinite(weight.sum(dtype=torch.float32))]
    if broken:
        raise ModelError(f"{folder}: holds NaN or infinity in {broken[0]}.")
    model.to(resolve_device(device))  # type: ignore[arg-type]
    model.train(False)
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a model folder; None where it has none."""
    if not (folder / "tokenizer.json").is_file():
        return None
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder}: transformers cannot load its tokenizer: {error}") from error
    return tokenizer


def resolve_device(device: str) -> torch.device:
    """The torch device of a name from a document.

    Raises:
        ModelError: torch has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"device is {device!r}; torch knows no such device.") from error
