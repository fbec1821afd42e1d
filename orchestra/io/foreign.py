"""What it takes to call transformers: its errors, its talk, and its account of what it loaded."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.utils import logging

from orchestra.problems import printable

UNLOADABLE = (
    ArithmeticError,
    AssertionError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers raises over files that it cannot use: it has no error of its own."""


@contextmanager
def tokenizers_errors() -> Iterator[None]:
    """Turn what the package tokenizers raises into a ValueError, and a panic of it into a RuntimeError."""
    try:
        yield
    except BaseException as error:  # it raises Exception itself; its panics are none, and have no importable name
        if type(error) is Exception:
            raise ValueError(f"tokenizers says: {error}") from error
        if type(error).__name__ == "PanicException":
            raise RuntimeError(f"tokenizers breaks off: {error}") from error
        raise


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars and warnings inside a `with` block; what the user had set comes back."""
    verbosity = logging.get_verbosity()
    bars, hub_off = logging.is_progress_bar_enabled(), are_progress_bars_disabled()
    logging.set_verbosity_error()
    if bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # where the environment has the Hub's bars off, it says that they stay so
                logging.enable_progress_bar()
        if hub_off:  # transformers' switch is the Hub's as well, and not the other way around
            disable_progress_bars()


def told(error: BaseException) -> str:
    """What an error of transformers says, on one line."""
    return printable(f"{type(error).__name__}: {' '.join(str(error).split())}", 300)


def misfits(report: Mapping[str, Any], model: PreTrainedModel) -> Iterator[str]:
    """Where the weights and the config of a checkpoint contradict each other."""
    for name in sorted(report["missing_keys"]):
        yield f"{name} is missing"
    for name, found, needed in sorted(report["mismatched_keys"]):
        yield f"{name} has shape {tuple(found)}, not {tuple(needed)}"
    # Some checkpoints carry parts that are not asked for, such as a value head; a layer past the last is another thing.
    families = {_family(name) for name in model.state_dict()}
    for name in sorted(report["unexpected_keys"]):
        if _family(name) in families:
            yield f"{printable(name)} is left over"


def _family(name: str) -> str:
    """A weight's name without its numbers: that of its like in every layer."""
    return re.sub(r"\d+", "#", name)
