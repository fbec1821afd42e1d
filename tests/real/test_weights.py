"""What was converted is the model that it was: it finds likely what its authors' model finds likely."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestra.io.facts import model_facts
from orchestra.io.models import load_model, load_tokenizer

pytestmark = pytest.mark.real

TALE = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
TIMES = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness."
CHINESE = "你好！我是一个人工智能助手，可以回答你的问题，提供信息和解答问题。"  # noqa: RUF001
CHAT = f"<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n{CHINESE}<|im_end|>"
KNOWN = {"smollm2": (TIMES, 2.5), "gemma3": (TIMES, 2.0), "stories": (TALE, 0.6), "minimind2": (CHAT, 4.2)}
"""A text that each model knows, and the nats per token that it may take.

Right conversions take 2.0, 1.4, 0.3 and 3.4; with the rows of queries and keys in the other order the llamas among them
take 3.3, 1.4 and 5.1.
"""


@pytest.mark.parametrize("name", KNOWN)
def test_a_converted_model_knows_what_it_should(real: Callable[[str], Path], name: str) -> None:
    folder, (text, limit) = real(name), KNOWN[name]
    tokenizer = load_tokenizer(folder)
    assert tokenizer is not None
    ids: Any = tokenizer(text, return_tensors="pt")["input_ids"]
    model: Any = load_model(folder, dtype="bfloat16", device="cpu")
    with torch.no_grad():
        nats = float(model(ids, labels=ids).loss)
        nonsense = float(model(ids.flip(1), labels=ids.flip(1)).loss)
    print(f"{name}: {nats:.2f} nats per token, backwards {nonsense:.2f}")
    assert nats < limit
    assert nonsense > nats + 2


@pytest.mark.parametrize("name", KNOWN)
def test_a_text_goes_through_the_tokenizer_and_comes_back(real: Callable[[str], Path], name: str) -> None:
    tokenizer = load_tokenizer(real(name))
    assert tokenizer is not None
    for text in (TALE, TIMES, CHINESE, "def f(x):\n    return x  # 1234"):
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_a_header_tells_what_its_converted_folder_tells(real: Callable[[str], Path], name: str) -> None:
    folder = real(name)
    file, whole = model_facts(folder.with_name(f"{name}.gguf")), model_facts(folder)
    told = ("model_type", "num_layers", "d_model", "num_heads", "vocab_size", "num_params")
    assert [getattr(file, field) for field in told] == [getattr(whole, field) for field in told]
