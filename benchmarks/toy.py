"""The toy: an anchor of 10.5M parameters, augments of 1.8M, one tokenizer, two bridges per augment; random weights."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

import orchestra
from orchestra import ComposedModel

VOCAB = 4096


def llama(width: int, depth: int, *, seed: int = 0) -> PreTrainedModel:
    """A Llama with random weights and nothing that ends a text."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=4,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    made: Any = LlamaForCausalLM(config)
    made.generation_config.pad_token_id = 0
    model: PreTrainedModel = made.eval()
    return model


def anchor() -> PreTrainedModel:
    """Llama 256 x 8."""
    return llama(256, 8)


def augments(count: int) -> dict[str, PreTrainedModel]:
    """Llamas 128 x 4, each with weights of its own."""
    return {f"a{index:02}": llama(128, 4, seed=1 + index) for index in range(count)}


def compose(
    anchor: PreTrainedModel,
    augments: Mapping[str, PreTrainedModel],
    *,
    bridges: Mapping[str, Any] = MappingProxyType({"every": 2}),
    tokenizers: Mapping[str, PreTrainedTokenizerBase] | None = None,
) -> ComposedModel:
    """The composition, its bridges as if trained: gates are open."""
    document = {
        "format": "orchestra/graph@1",
        "anchor": {"model": "memory"},
        "augments": {name: {"model": "memory", "bridges": dict(bridges)} for name in augments},
    }
    composed = orchestra.load(document, models={"anchor": anchor, **augments}, tokenizers=tokenizers)
    return opened(composed)


def opened(composed: ComposedModel) -> ComposedModel:
    """Open every scalar gate, so that bridges have something to say."""
    for name, weight in composed.trainable():
        if name.endswith(".gate"):
            nn.init.constant_(weight, 0.1)
    return composed


def ids(length: int, rows: int = 1, *, seed: int = 0) -> Tensor:
    """Random tokens."""
    return torch.randint(1, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def generate(model: Any, prompt: Tensor, new: int, **words: Any) -> Tensor:
    """Write exactly so many tokens, greedily."""
    written: Tensor = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=new,
        min_new_tokens=new,
        do_sample=False,
        **words,
    )
    return written
