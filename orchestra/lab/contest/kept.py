"""What training leaves of the anchor's own English: its loss on texts that have nothing to do with what was learnt."""

import ast
import sysconfig
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from orchestra.runtime.model import ComposedModel

TOKENS = 96
"""Of each text, the first so many."""


def texts(count: int) -> list[str]:
    """English prose: what modules of Python's standard library say of themselves, longer than a paragraph."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    told = (ast.get_docstring(ast.parse(path.read_bytes())) for path in paths)
    return list(islice((" ".join(text.split()) for text in told if text and len(text) > 300), count))


@torch.no_grad()
def loss(model: Any, tokenizer: PreTrainedTokenizerBase, read: Sequence[str]) -> float:
    """Nats per token of the second half of each text, after the first half as the prompt."""
    total, count = 0.0, 0
    for one in read:
        ids = torch.tensor([tokenizer(one)["input_ids"][:TOKENS]], device=model.device)
        half = ids.shape[1] // 2
        told = {"prompt_length": torch.tensor([half], device=ids.device)} if isinstance(model, ComposedModel) else {}
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **told).logits.float()
        total += float(functional.cross_entropy(logits[0, half - 1 : -1], ids[0, half:], reduction="sum"))
        count += ids.shape[1] - half
    return total / count
