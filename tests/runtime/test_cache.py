import re
from typing import Any

import pytest
import torch
from transformers import DynamicCache, StaticCache

from orchestra import ComposedModel, ComposeError
from orchestra.runtime.cache import ComposedCache
from tests.tiny import bridges, compose, generate, model, ring, tokens


def refusal(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_a_cache_filled_with_other_augments_is_refused() -> None:
    composed = ring(0)
    cache = composed(tokens()).past_key_values
    message = "this cache was filled with far, near on, and now near would be: start with a fresh cache."
    with composed.ablate("far"), pytest.raises(ComposeError, match=refusal(message)):
        composed(tokens(2, 1), past_key_values=cache)
    message = "this cache was filled with far, near on, and now no augment would be: start with a fresh cache."
    with composed.only(), pytest.raises(ComposeError, match=refusal(message)):
        composed(tokens(2, 1), past_key_values=cache)
    assert composed(tokens(2, 1), past_key_values=cache).logits.shape == (2, 1, 97)  # a refusal breaks nothing


def test_an_empty_cache_takes_any_augments() -> None:
    composed = ring(0)
    cache = composed.new_cache()
    with composed.ablate("far"), torch.no_grad():
        assert torch.equal(composed(tokens(), past_key_values=cache).logits, composed(tokens()).logits)


def test_toggling_in_the_middle_of_a_generation_is_refused() -> None:
    composed = ring(0)
    out = generate(composed, tokens(), return_dict_in_generate=True)
    longer = torch.cat([out.sequences, tokens(2, 1)], dim=1)  # type: ignore[attr-defined]
    with composed.ablate("near"), pytest.raises(ComposeError, match="start with a fresh cache"):
        generate(composed, longer, past_key_values=out.past_key_values)  # type: ignore[attr-defined]


@pytest.mark.parametrize("rows", [1, 3])
def test_other_texts_than_the_cache_holds_are_refused(rows: int) -> None:
    composed = ring(0)
    cache = composed(tokens()).past_key_values
    message = f"this cache holds 2 texts, and {rows} would continue it: repeat its rows first."
    with pytest.raises(ComposeError, match=refusal(message)):
        composed(tokens(rows, 1), past_key_values=cache)


def test_the_cache_of_another_composed_model_is_refused() -> None:
    one, two = ring(0), ring(0)
    message = "this cache was filled by another composed model: start with a fresh cache."
    with pytest.raises(ComposeError, match=refusal(message)):
        two(tokens(2, 1), past_key_values=one(tokens()).past_key_values)


def foreign(kind: str) -> str:
    return refusal(
        f"past_key_values is a {kind}; a composed model continues only from a cache that it returned itself "
        "(static and quantized caches are not supported)."
    )


def test_a_cache_of_transformers_is_refused() -> None:
    composed = ring(0)
    caches = {
        "DynamicCache": DynamicCache(config=composed.anchor.config),
        "StaticCache": StaticCache(config=composed.anchor.config, max_cache_len=16),
        "list": [],
    }
    for kind, cache in caches.items():
        with pytest.raises(ComposeError, match=foreign(kind)):
            composed(tokens(), past_key_values=cache)
        with pytest.raises(ComposeError, match=foreign(kind)):
            generate(composed, tokens(), past_key_values=cache)


def test_the_parts_of_augments_that_are_off_stay_empty() -> None:
    composed = ring(0)
    with composed.ablate("far"), torch.no_grad():
        cache = composed(tokens()).past_key_values
        cache.activate_past_recording()
        assert isinstance(cache, ComposedCache)
        assert cache.augments["far"].get_seq_length() == cache.bridges["far"].get_seq_length() == 0
        assert cache.augments["near"].get_seq_length() == cache.bridges["near"].get_seq_length() == 11
        cache.crop(-2)
        cache.reorder_cache(torch.tensor([1, 0]))
        assert cache.get_seq_length() == cache.augments["near"].get_seq_length() == 9


def test_augments_keep_only_the_layers_that_run() -> None:
    composed = compose(model("llama"), kv=model("qwen3", seed=1))
    cache = composed(tokens()).past_key_values
    assert len(cache.augments["kv"].layers) == 2
    assert len(cache.layers) == 3


def reader() -> ComposedModel:
    """A composition whose augment reads the prompt only."""
    return compose(model("llama"), kv=(model("gpt2", seed=1), {"context": "prompt"}))


def test_prompts_of_another_length_than_the_cached_tokens_were_read_with_are_refused() -> None:
    composed, lengths = reader(), torch.tensor([7, 11])
    cache = composed(tokens(), prompt_length=lengths).past_key_values
    ids = torch.cat([tokens(), tokens(2, 1)], dim=1)
    for other in ([6, 11], [8, 11], [7, 10]):
        message = (
            f"this cache was filled with prompts of [7, 11] tokens, and now they would be of {other}: drop "
            "prompt_length, or start with a fresh cache."
        )
        said = {"past_key_values": cache, "prompt_length": torch.tensor(other)}
        with pytest.raises(ComposeError, match=refusal(message)):
            composed(tokens(2, 1), **said)
        with pytest.raises(ComposeError, match=refusal(message)):
            generate(composed, ids, **said)
    message = "this cache holds 2 texts, and 6 would continue it: repeat its rows first."
    with pytest.raises(ComposeError, match=refusal(message)):
        generate(composed, ids, num_beams=3, past_key_values=cache, prompt_length=lengths)
    step = composed(tokens(2, 1), past_key_values=cache, prompt_length=torch.tensor([7, 12]))  # it holds no more yet
    assert step.past_key_values.prompt_length.tolist() == [7, 12]


def test_a_cache_that_holds_nothing_any_more_knows_no_prompt() -> None:
    composed = reader()
    for emptied, words in (("reset", ()), ("crop", (-11,))):
        cache: Any = composed(tokens(), prompt_length=torch.tensor([7, 11])).past_key_values
        getattr(cache, emptied)(*words)
        known = cache.prompt_length
        assert known is None
        out = generate(composed, tokens(2, 5), past_key_values=cache)
        assert torch.equal(out, generate(composed, tokens(2, 5)))
        assert cache.prompt_length.tolist() == [5, 5]


def test_an_empty_cache_takes_the_prompts_of_the_next_generation_and_no_earlier_one_s() -> None:
    composed = reader()
    cache = composed.new_cache()
    cache.prompt_length = torch.tensor([3, 3])  # as a generation leaves it that fails before its first forward
    out = generate(composed, tokens(), past_key_values=cache)
    assert torch.equal(out, generate(composed, tokens()))


def test_maps_are_folded_once_for_each_cache_and_never_under_gradients() -> None:
    composed = ring(0)
    bridge = bridges(composed)[0]
    with torch.no_grad():
        cache = composed(tokens()).past_key_values
        folded = cache.fold(bridge)
        composed(tokens(length=1), past_key_values=cache)
        assert cache.fold(bridge) is folded is not None
        bridge.proj.weight.mul_(2)
        fresh = composed(tokens()).past_key_values.fold(bridge)
        assert fresh is not None
        torch.testing.assert_close(fresh.weight, 2 * folded.weight)
        cache.reset()
        assert cache.fold(bridge) is not folded
    assert cache.fold(bridge) is None
