"""torch.compile of a composed model changes nothing, and of a model before it is composed nothing or is refused."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.exc import Unsupported
from torch._dynamo.utils import counters

from orchestra import ComposedModel, ComposeError
from tests.tiny import compose, generate, model, tokens


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def composition() -> ComposedModel:
    return compose(model("llama"), near=model("gemma3", seed=1), far=model("gpt2", seed=2))


def in_place(composed: Any) -> Any:
    composed.compile(backend="eager")
    return composed


def by_its_forward(composed: Any) -> Any:
    composed.forward = torch.compile(composed.forward, backend="eager")
    return composed


WAYS: dict[str, Callable[[Any], Any]] = {
    "eager": lambda composed: torch.compile(composed, backend="eager"),
    "aot_eager": lambda composed: torch.compile(composed, backend="aot_eager"),
    "in place": in_place,
    "its forward": by_its_forward,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_compiled_composed_model_computes_and_writes_the_same(way: str) -> None:
    plain = composition()
    compiled = WAYS[way](composition())
    with torch.no_grad():
        for rows, length in ((2, 11), (2, 7), (3, 13), (5, 3)):
            assert torch.equal(compiled(tokens(rows, length)).logits, plain(tokens(rows, length)).logits)
        with compiled.ablate("far"), plain.ablate("far"):
            assert torch.equal(compiled(tokens()).logits, plain(tokens()).logits)
    assert torch.equal(generate(compiled, tokens()), generate(plain, tokens(), use_cache=False))
    assert counters["stats"].get("unique_graphs", 0) <= 2  # not one for each shape


def test_a_copy_of_a_model_compiled_in_place_runs_itself() -> None:
    composed = in_place(composition())
    twin = copy.deepcopy(composed)
    with twin.only(), torch.no_grad():
        assert torch.equal(twin(tokens()).logits, composed.anchor(tokens()).logits)


def test_one_graph_of_a_whole_composed_model_is_refused() -> None:
    compiled: Any = torch.compile(composition(), backend="eager", fullgraph=True)
    with pytest.raises(Unsupported, match="what a composed forward shares between its models is not traced"):
        compiled(tokens())


def test_models_compiled_in_place_are_composed_as_they_were() -> None:
    anchor, augment = model("llama"), model("gpt2", seed=1)
    plain = compose(anchor, kv=augment)
    expected = plain(tokens()).logits
    anchor.compile(backend="eager")
    augment.compile(backend="eager")
    assert torch.equal(compose(anchor, kv=augment)(tokens()).logits, expected)


def test_a_model_whose_forward_was_replaced_is_refused() -> None:
    anchor = model("llama")
    vars(anchor)["forward"] = torch.compile(anchor.forward, backend="eager")
    message = (
        "the forward of LlamaForCausalLM was replaced, as torch.compile(model.forward) and accelerate's hooks do: "
        "compose the model as it was loaded."
    )
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        compose(anchor, kv=model("gpt2", seed=1))
    inner = model("llama")
    vars(inner.model)["forward"] = inner.model.forward
    with pytest.raises(ComposeError, match="the forward of LlamaModel was replaced"):
        compose(inner, kv=model("gpt2", seed=1))
