"""stories15M from llama2.c's own formats into a Hugging Face folder.

The weights are floats in a row, in llama2.c's order, after seven numbers; rows of queries and keys are interleaved. The
tokenizer is a list of scores and pieces, in which blanks stand for sentencepiece's marks.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer
from transformers.tokenization_utils_base import generate_merges

MODEL_BYTES = 60_816_028
"""Where the model ends in the package's one data file, and the tokenizer begins."""


def convert(place: Path, into: Path) -> None:
    """Convert the package that lies in a folder."""
    content = (place / "package" / "src" / "llama2.data").read_bytes()
    model(content[:MODEL_BYTES]).save_pretrained(into)
    tokenizer(content[MODEL_BYTES:]).save_pretrained(into)


def model(content: bytes) -> LlamaForCausalLM:
    """The model in llama2.c's `model.bin`."""
    width, hidden, layers, heads, key_heads, vocab, length = struct.unpack("<7i", content[:28])
    if heads != key_heads or vocab < 0:
        raise RuntimeError("is not the stories15M that is known here")
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        vocab_size=vocab,
        max_position_embeddings=length,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    floats = torch.from_numpy(np.frombuffer(content, np.float32, offset=28).copy())
    made, place = LlamaForCausalLM(config), 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal place
        count = int(np.prod(shape))
        place += count
        return floats[place - count : place].view(*shape)

    shapes = {
        "input_layernorm": (width,),
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (width, width),
        "self_attn.v_proj": (width, width),
        "self_attn.o_proj": (width, width),
        "post_attention_layernorm": (width,),
        "mlp.gate_proj": (hidden, width),
        "mlp.down_proj": (width, hidden),
        "mlp.up_proj": (hidden, width),
    }
    state = {"model.embed_tokens.weight": take(vocab, width)}
    for name, shape in shapes.items():
        for layer, weight in enumerate(take(layers, *shape)):
            halves = halved(weight, heads) if name.endswith(("q_proj", "k_proj")) else weight
            state[f"model.layers.{layer}.{name}.weight"] = halves
    state["model.norm.weight"] = take(width)
    take(length * (width // heads))  # cosines and sines, which every model computes for itself
    if place != len(floats):
        raise RuntimeError("holds more than its header says")
    made.load_state_dict({**state, "lm_head.weight": state["model.embed_tokens.weight"]})
    return made


def halved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows that are turned with their neighbours, as rows that are turned with their like in the other half."""
    return weight.view(heads, -1, 2, weight.shape[-1]).transpose(1, 2).reshape(weight.shape)


def tokenizer(content: bytes) -> LlamaTokenizer:
    """The tokenizer in llama2.c's `tokenizer.bin`, whose first 259 pieces are three special tokens and all bytes."""
    pieces, scores, place = [], [], 4
    while place < len(content):
        score, length = struct.unpack_from("<fi", content, place)
        pieces.append(content[place + 8 : place + 8 + length].decode("utf-8").replace(" ", "▁"))
        scores.append(score)
        place += 8 + length
    pieces[:259] = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    merges = generate_merges(vocab, dict(zip(pieces, scores, strict=True)))
    return LlamaTokenizer(vocab=vocab, merges=merges, add_bos_token=True)
