"""The demo's small Llamas, fresh."""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from orchestra.lab.tokenizer import BEGIN_ID, END_ID, PAD_ID

_PERIODS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
_D_HEAD = 32
_Model = TypeVar("_Model", bound=PreTrainedModel)


def placed(model: _Model) -> _Model:
    """A model, on the GPU where there is one."""
    movable: Any = model  # transformers wraps `to` in a way that loses its types
    moved: _Model = movable.to("cuda" if torch.cuda.is_available() else "cpu")
    return moved


def small_llama(
    tokenizer: PreTrainedTokenizerFast, *, width: int, layers: int, inner: int, seed: int
) -> LlamaForCausalLM:
    """A Llama with fresh weights.

    Args:
        inner: width of the feed-forward layers.
    """
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=width // _D_HEAD,
            num_key_value_heads=width // _D_HEAD,
            max_position_embeddings=256,
            tie_word_embeddings=False,
            pad_token_id=PAD_ID,
            bos_token_id=BEGIN_ID,
            eos_token_id=END_ID,
            initializer_range=0.04,
        )
    )


@torch.no_grad()
def write_number_embeddings(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, *, size: float = 0.15) -> None:
    """Start the tokens 0 to 999 as Fourier number embeddings, going in and coming out.

    A number is a point on circles of several periods, so that adding is turning. What that is worth was tried:
    docs/notes/kv-small.md. Training may change every one of them.

    Source: FoNE, section 3 (arXiv 2502.09741); the periods beyond powers of ten are ours.
    """
    going_in: torch.Tensor = model.model.embed_tokens.weight
    coming_out: torch.Tensor = model.lm_head.weight
    for number in range(1000):
        token = tokenizer.convert_tokens_to_ids(str(number))
        angles = [2 * math.pi * number / period for period in _PERIODS]
        circles = torch.tensor([part for angle in angles for part in (math.cos(angle), math.sin(angle))])
        going_in[token] = 0.0
        going_in[token, : len(circles)] = size * circles
        coming_out[token] *= 0.1
        coming_out[token, : len(circles)] = size * circles


@torch.no_grad()
def freeze_answers(model: LlamaForCausalLM, answers: Sequence[int], *, size: float = 0.9) -> None:
    """Give answers orthogonal directions of a fixed length; neither these nor the last norm learn.

    With a head that grows, a model knows its answers long before its states hold nothing else: what is left of the key
    in them is noise to whoever reads them through a linear map. A short head can only be satisfied by states that
    point at the answer (as in NormFace, section 3.2, arXiv 1704.06369).

    Args:
        answers: token ids; more than the model is wide cannot be orthogonal, and only so many are taken.
        size: length of each direction; times the root of the width, it is the largest logit there can be.
    """
    rows = model.lm_head.weight
    tokens = list(answers[: rows.shape[1]])
    generator = torch.Generator().manual_seed(0)
    directions, _ = torch.linalg.qr(torch.randn(rows.shape[1], len(tokens), generator=generator))
    rows[tokens] = size * directions.T
    model.lm_head.requires_grad_(False)
    model.model.norm.requires_grad_(False)
