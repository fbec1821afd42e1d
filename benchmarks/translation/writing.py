"""Greedy translations, of a plain model or of a composed one: both are models of transformers."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.translation.data import Pair
from benchmarks.translation.text import Form, alike

MOST = 40
"""New tokens at most."""


@torch.no_grad()
def translations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    form: Form,
    pairs: Sequence[Pair],
    *,
    shots: Sequence[Pair] = (),
    size: int = 16,
) -> list[str]:
    """What a model writes for each pair, up to the end of the line."""
    written = [""] * len(pairs)
    writer: Any = model
    newlines = [token for text, token in tokenizer.get_vocab().items() if set(text) in ({"Ċ"}, {"\n"})]
    for numbers in alike(pairs, size):
        texts = [form.few(shots, pairs[number]) for number in numbers]
        batch: Any = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        ids = batch["input_ids"].to(model.device)
        output: Any = writer.generate(
            ids,
            attention_mask=batch["attention_mask"].to(model.device),
            max_new_tokens=MOST,
            do_sample=False,
            eos_token_id=[tokenizer.eos_token_id, *newlines],
            pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
        )
        lines = tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True)
        for number, line in zip(numbers, lines, strict=True):
            written[number] = line.split("\n")[0].strip()
    return written
