"""Texts as a batch for a real model."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from orchestra import ComposedModel


def left_padded(composed: ComposedModel, texts: Sequence[str]) -> dict[str, Tensor]:
    """The texts as one batch, padded on the left."""
    tokenizer: Any = composed.tokenizer
    batch: dict[str, Tensor] = dict(tokenizer(list(texts), return_tensors="pt", padding=True, padding_side="left"))
    return {name: batch[name] for name in ("input_ids", "attention_mask")}
