"""GGUF files: tiny models as the package `gguf` writes them, and files that are damaged on purpose."""

from pathlib import Path

import gguf
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests import tiny

TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(64)), "▁", *map(chr, range(97, 123))]
TOKENS += ["▁a", "▁b", "an"]
PLAIN, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.layers.": "blk.",
}


def llama(*, seed: int = 0) -> PreTrainedModel:
    """A tiny llama in float32."""
    return tiny.model("llama", seed=seed, dtype=torch.float32)


def write(
    path: Path,
    model: PreTrainedModel,
    *,
    half: bool = False,
    tokenizer: bool = True,
    tokens: int = tiny.VOCAB,
    fields: dict[str, int | str] | None = None,
    tensors: dict[str, Tensor] | None = None,
) -> Path:
    """Write a llama as a GGUF file.

    Args:
        half: store matrices in float16.
        tokens: how many tokens the tokenizer has.
        fields, tensors: further ones, such as no converter would write.
    """
    writer, config = gguf.GGUFWriter(path, "llama"), model.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if tokenizer:
        _tokenizer(writer, tokens)
    for key, value in (fields or {}).items():
        writer.add_string(key, value) if isinstance(value, str) else writer.add_uint32(key, value)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, weight in {**model.state_dict(), **(tensors or {})}.items():
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
        permuted = next((count for part, count in heads.items() if f".{part}." in name), None)
        stored = weight if permuted is None else interleaved(weight, permuted)
        writer.add_tensor(name, stored.to(torch.float16 if half and weight.ndim > 1 else torch.float32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """The rows of queries or keys in the order of llama.cpp, which turns neighbours and not halves."""
    return weight.view(heads, 2, -1, weight.shape[-1]).transpose(1, 2).reshape(weight.shape).contiguous()


def _tokenizer(writer: gguf.GGUFWriter, count: int) -> None:
    names = [*TOKENS, *(f"[{number}]" for number in range(len(TOKENS), count))][:count]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(names)
    writer.add_token_scores([-float(place) for place in range(count)])
    kinds = [CONTROL if name in ("<s>", "</s>") else BYTE if name.startswith("<0x") else PLAIN for name in names]
    writer.add_token_types([UNKNOWN, *kinds[1:]])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
