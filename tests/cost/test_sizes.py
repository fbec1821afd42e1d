"""Bytes of weights and of caches, held to those of the tensors."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from orchestra import ComposedModel, load
from orchestra.cost.asked import Asked
from orchestra.cost.report import Row, cost
from orchestra.cost.sizes import element, held
from orchestra.graph import Graph, Node
from tests.configs import WINDOW
from tests.counted import PROMPT, shapes
from tests.deep import deep
from tests.mixed import anchors, characters
from tests.tiny import compose, model, pair, ring, tokens

ASKED = Asked(prompt_length=PROMPT, new_tokens=3, batch=2)


def row(composed: ComposedModel, kind: str = "composition", asked: Asked = ASKED) -> Row:
    return next(each for each in cost(composed.plan, shapes(composed), asked).rows if each.kind == kind)


def cached(*caches: Any) -> int:
    """Bytes that caches keep."""
    return sum(tensor.nbytes for cache in caches for layer in cache.layers for tensor in (layer.keys, layer.values))


def filled(composed: ComposedModel, length: int) -> int:
    """Bytes that a composition's caches keep of two texts, whose prompts have `PROMPT` tokens."""
    with torch.no_grad():
        read: Any = composed(tokens(2, length), use_cache=True, prompt_length=torch.tensor([PROMPT, PROMPT]))
    cache = read.past_key_values
    return cached(cache, *cache.augments.values(), *cache.bridges.values())


def single(composed: ComposedModel) -> ComposedModel:
    """A composition whose bridges are held as they are trained."""
    composed.stacks.float()
    return composed


def float32(*architectures: str) -> ComposedModel:
    anchor, *augments = (model(name, seed=seed, dtype=torch.float32) for seed, name in enumerate(architectures))
    return compose(anchor, torch.float32, fresh=True, **{f"a{index}": one for index, one in enumerate(augments)})


@pytest.mark.parametrize(
    "architectures", [("llama", "gemma3", "gpt2"), ("gemma2", "mistral", "qwen3"), ("falcon", "bloom")]
)
def test_caches_keep_what_is_reckoned(architectures: tuple[str, ...]) -> None:
    composed = float32(*architectures)
    assert filled(composed, ASKED.length) == row(composed).text_bytes
    assert filled(composed, WINDOW - 2) - filled(composed, WINDOW - 3) == 2 * row(composed).token_bytes


def test_of_an_augment_that_reads_the_prompt_only_they_keep_the_prompt() -> None:
    parts = {"near": (model("gpt2", dtype=torch.float32), {"context": "prompt"})}
    composed = compose(model("llama", dtype=torch.float32), torch.float32, fresh=True, **parts)
    assert filled(composed, ASKED.length) == row(composed).text_bytes


def test_of_a_stream_they_keep_all_whatever_its_windows() -> None:
    words = {"anchor": anchors(), "near": characters()}
    parts = {"near": model("gemma3", dtype=torch.float32)}
    composed = compose(model("llama", dtype=torch.float32), torch.float32, fresh=True, tokenizers=words, **parts)
    ids: Any = anchors().convert_tokens_to_ids(list("abcde" * 4))
    letters = torch.tensor([ids[: ASKED.length]] * 2)
    with torch.no_grad():
        read: Any = composed(letters, use_cache=True)
    cache = read.past_key_values
    assert cached(cache, *cache.augments.values(), *cache.bridges.values()) == row(composed).text_bytes


def test_the_bytes_of_weights_are_those_of_the_tensors() -> None:
    composed = single(ring(3, fresh=True))
    assert row(composed).num_bytes == sum(weight.nbytes for weight in composed.parameters())
    assert row(composed).num_params == sum(weight.numel() for weight in composed.parameters())
    assert row(composed).trained_params == sum(weight.numel() for _, weight in composed.trainable())


def test_a_model_of_two_places_is_held_once() -> None:
    both = model("llama")
    composed = single(compose(both, fresh=True, same=both))
    assert row(composed).num_bytes == sum(weight.nbytes for weight in composed.parameters())
    assert [each.shared for each in held(composed.plan, shapes(composed)).values()] == [False, True]


def test_what_a_deeper_graph_keeps_counts_every_stack() -> None:
    composed = single(deep("diamond", fresh=True))
    asked = Asked(prompt_length=PROMPT, new_tokens=3, batch=2)
    assert filled(composed, asked.length) == row(composed, asked=asked).text_bytes


def test_of_an_augment_that_feeds_readers_of_prompts_only_caches_keep_the_prompt() -> None:
    composed = single(deep("chain", fresh=True, second={"context": "prompt"}))
    assert filled(composed, ASKED.length) == row(composed).text_bytes


def test_taps_into_an_augment_that_is_off_are_not_kept() -> None:
    into = {"anchor": {"pairs": [pair(0, 2)]}, "second": {"pairs": [pair(2, 1)]}}
    augments: Any = {"first": {"model": "memory", "into": into}, "second": {"model": "memory", "enabled": False}}
    document = {"format": "orchestra/graph@1", "anchor": {"model": "memory"}, "augments": augments}
    models = {name: model("llama", seed=seed) for seed, name in enumerate(("anchor", "first", "second"))}
    composed = load(document, models=models)
    ids = tokens(2, PROMPT)
    found = next(each for each in cost(composed.plan, shapes(composed), ASKED).train if each.kind == "kept")
    composed(ids, labels=ids, taps=composed.taps(ids))
    kept = sum(each.nbytes for one in composed.taps(ids) for each in one.values())
    assert kept == 2 * PROMPT * found.disk_bytes


def test_a_model_held_as_another_dtype_takes_its_bytes() -> None:
    composed = float32("llama", "gpt2")
    graph = composed.plan.graph
    narrow = replace(composed.plan, graph=replace(graph, anchor=replace(graph.anchor, dtype="bfloat16")))
    plain, halved = (held(plan, shapes(composed))["anchor"] for plan in (composed.plan, narrow))
    assert (plain.dtype, halved.dtype, plain.num_bytes) == ("float32", "bfloat16", 2 * halved.num_bytes)


def test_a_dtype_that_is_left_to_the_checkpoint_is_its_configs_or_its_files() -> None:
    composed = float32("llama", "gpt2")
    node, found = composed.plan.graph.anchor, shapes(composed)["anchor"]
    unnamed = replace(found, dtype=None)
    assert element(node, replace(found, dtype="float16")) == "float16"
    assert element(_sized(node, 7, 14), unnamed) == "bfloat16"
    assert element(_sized(node, 7, 56), unnamed) == "float64"
    assert element(_sized(node, 7, 28), unnamed) == "float32"
    assert element(_sized(node, None, None), unnamed) == "float32"
    gguf = replace(_sized(node, 7, 5), facts=replace(node.facts, conversion="gguf@1"))
    assert element(gguf, replace(found, dtype="float16")) == "float32"


def _sized(node: Node, num_params: int | None, weight_bytes: int | None) -> Node:
    return replace(node, facts=replace(node.facts, num_params=num_params, weight_bytes=weight_bytes))


def test_without_files_parameters_are_those_of_the_config() -> None:
    composed = float32("llama", "gpt2")
    graph: Graph = replace(composed.plan.graph, anchor=_sized(composed.plan.graph.anchor, None, None))
    known = shapes(composed)
    found = held(replace(composed.plan, graph=graph), known)
    assert (found["anchor"].num_params, found["anchor"].counted) == (known["anchor"].num_params, False)
    assert found["a0"].counted
