"""Models that have learnt nothing: architecture, sizes and tokenizer of another, with weights as first drawn."""

import shutil
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import AutoConfig, AutoModelForCausalLM

from orchestra.io.conversion import converted
from orchestra.io.foreign import quiet
from orchestra.io.gguf_facts import is_gguf

_TEXTS = (".json", ".txt", ".model", ".jinja")
_OF_THE_MODEL = ("config.json", "generation_config.json", "model")  # all other texts are the tokenizer's


def write_fresh(folder: Path, into: Path, *, seed: int) -> Path:
    """Write a model with fresh weights, of the kind of that in `folder` (or GGUF file); one that is there is kept.

    Returns:
        `into`, which appears only when it is complete.
    """
    if into.is_dir():
        return into
    folder = converted(folder) if is_gguf(folder) else folder
    into.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(into.with_name(f".{into.name}.lock")):  # of several at once, one writes
        if not into.is_dir():
            _write(folder, into, seed=seed)
    return into


def _write(folder: Path, into: Path, *, seed: int) -> None:
    partial = into.with_name(f".{into.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=config.dtype, trust_remote_code=False)
        model.save_pretrained(partial)
    for file in folder.iterdir():
        if file.suffix in _TEXTS and not file.name.startswith(_OF_THE_MODEL) and file.is_file():
            shutil.copyfile(file, partial / file.name)
    partial.rename(into)
