"""`cache_implementation="offloaded"`: the cache in the CPU's memory."""

from typing import Any

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from orchestra import ComposedModel
from orchestra.runtime.cache import ComposedCache, lower_layers
from tests.tiny import LENGTH, compose, generate, model, tokens


def composition() -> ComposedModel:
    return compose(model("llama"), near=model("gemma3", seed=1), far=model("gpt2", seed=2))


@pytest.mark.parametrize("way", [{}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}], ids=str)
def test_on_the_cpu_an_offloaded_cache_is_the_cache(way: dict[str, Any]) -> None:
    composed, ids = composition(), tokens(1, 5).repeat(1, 2)
    plain = generate(composed, ids, **way | {"prompt_lookup_num_tokens": None}, use_cache=False)
    assert torch.equal(generate(composed, ids, **way, cache_implementation="offloaded"), plain)


def parts(cache: ComposedCache) -> dict[str, bool]:
    """Which parts are offloaded."""
    held = {"anchor": cache, **cache.augments, **{f"bridges of {name}": part for name, part in cache.bridges.items()}}
    return {name: part.offloading for name, part in held.items()}


def test_what_does_not_run_on_the_cpu_is_offloaded_and_no_more() -> None:
    composed = composition()
    away: list[Any] = [composed.augment("near"), composed.anchor]
    away[0].to("meta")
    names = dict.fromkeys(("anchor", "near", "far", "bridges of near", "bridges of far"), False)
    assert parts(composed.new_cache()) == names
    assert parts(composed.new_cache(offloading=True)) == {**names, "near": True}
    away[1].to("meta")
    bridged = {"bridges of near": True, "bridges of far": True}
    assert parts(composed.new_cache(offloading=True)) == {**names, "near": True, "anchor": True, **bridged}


class Stream:
    """A stream of a machine that has none: everything is done at once."""

    def wait_stream(self, other: "Stream") -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[DynamicLayer]:
    """Every layer that is offloaded, each time; transformers moves for CUDA alone, which is feigned."""
    moved: list[DynamicLayer] = []
    monkeypatch.setattr(torch, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: Stream())
    monkeypatch.setattr(DynamicLayer, "offload", lambda layer: moved.append(layer))
    return moved


def test_every_layer_is_offloaded_whatever_is_done_to_the_cache(moves: list[DynamicLayer]) -> None:
    composed, ids = composition(), tokens(2)
    augments = {
        cost.augment: lower_layers(composed.augment(cost.augment).config, cost.layers_run, offloading=True)
        for cost in composed.plan.costs
    }
    cache = ComposedCache(composed.anchor.config, augments, owner=composed._mark, offloading=True)
    cache.activate_past_recording()
    with torch.no_grad():
        composed(ids[:, :8], past_key_values=cache)
        layers = [layer for part in (cache, *cache.augments.values(), *cache.bridges.values()) for layer in part.layers]
        assert {id(layer) for layer in layers} == {id(layer) for layer in moves}
        cache.crop(-3)
        cache.reorder_cache(torch.tensor([1, 0]))
        step = composed(ids[[1, 0], 5:], past_key_values=cache)
        torch.testing.assert_close(step.logits, composed(ids[[1, 0]]).logits[:, 5:], rtol=0, atol=1e-9)
    assert cache.get_seq_length() == LENGTH


@pytest.mark.gpu
def test_on_a_gpu_an_offloaded_cache_writes_the_same() -> None:
    composed: Any = composition()
    composed.to("cuda")
    ids = tokens(2).to("cuda")
    for way in ({}, {"num_beams": 3}):
        plain = generate(composed, ids, **way, use_cache=False)
        out: Any = generate(composed, ids, **way, cache_implementation="offloaded", return_dict_in_generate=True)
        assert torch.equal(out.sequences, plain)
        assert not any(layer.keys.is_cuda for layer in out.past_key_values.layers)
