import re
from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig

from orchestra.errors import GraphError, ModelError
from orchestra.io import room
from orchestra.io.room import check_memory, check_room
from orchestra.io.safetensors_header import Tensors
from tests import papers, tiny


def held(num_params: int, weight_bytes: int | None = None) -> list[Tensors]:
    """The headers of two files with so many numbers."""
    bytes_ = 4 * num_params if weight_bytes is None else weight_bytes
    empty = Tensors(shapes={}, dtypes={}, num_params=0, weight_bytes=0, starts={})
    return [empty, replace(empty, num_params=num_params, weight_bytes=bytes_)]


def test_a_config_may_ask_for_twice_what_its_files_hold_and_the_rest_is_told_by_weight() -> None:
    config, asked = tiny.config("llama"), tiny.model("llama").num_parameters()
    check_room("m", config, held(asked))
    check_room("m", config, held(asked // 2 + 1))
    message = f"m: its config asks for {asked} weights, and its files hold {asked // 2 - 1}."
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        check_room("m", config, held(asked // 2 - 1))


def test_packed_weights_may_have_a_bit_each() -> None:
    config, asked = tiny.config("llama"), tiny.model("llama").num_parameters()
    config.quantization_config = {"quant_method": "any"}
    check_room("m", config, held(3, asked // 16 + 1))
    with pytest.raises(ModelError, match="its config asks for"):
        check_room("m", config, held(3, asked // 16 - 1))


def test_tables_that_no_file_holds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    config = AutoConfig.for_model("gpt2", n_layer=1, n_embd=2, n_head=1, vocab_size=3, n_positions=40)
    numbers = held(10_000, 100)
    check_room("m", config, numbers)
    monkeypatch.setattr(room, "_TABLE_BYTES", 0)
    monkeypatch.setattr(torch.nn.Module, "buffers", lambda *_: iter([torch.empty(201, dtype=torch.uint8)]))
    with pytest.raises(ModelError, match=r"^m: its config asks for 201 bytes of tables, which no file holds\.$"):
        check_room("m", config, numbers)


def test_nothing_is_drawn_and_no_memory_is_taken() -> None:
    before = torch.get_rng_state()
    huge = AutoConfig.for_model("llama", hidden_size=2**20, intermediate_size=2**22, num_hidden_layers=2)
    with pytest.raises(ModelError, match="its config asks for"):
        check_room("m", huge, held(7))
    assert torch.equal(torch.get_rng_state(), before)


def test_bridges_larger_than_the_machine_are_refused_with_the_largest_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = papers.plan(papers.document(kv={"bridges": {"every": 1}}, tetum={}))
    needed = sum(cost.bridge_bytes for cost in planned.costs)
    monkeypatch.setattr(room, "_memory_bytes", lambda: needed)
    check_memory(planned)
    monkeypatch.setattr(room, "_memory_bytes", lambda: needed - 1)
    message = (
        f"the bridges take {needed} bytes, and this machine has {needed - 1}; "
        "augments.kv.bridges has 3 of them, the most."
    )
    with pytest.raises(GraphError, match=f"^{re.escape(message)}$"):
        check_memory(planned)
