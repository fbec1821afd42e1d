"""Invariant 4: token by token with caches equals one full forward, however the tokens are chosen."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests import tiny
from tests.tiny import ARCHITECTURES, LENGTH, WIDTHS, close, compose, generate, model, ring, stepped, tokens

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)


def ragged() -> dict[str, Tensor]:
    """A left-padded batch."""
    ids, mask = tiny.ragged()
    return {"ids": ids, "attention_mask": mask}


@rings
def test_logits_token_by_token_equal_those_of_one_forward(index: int) -> None:
    composed, ids = ring(index), ragged()["ids"]
    mask = ragged()["attention_mask"]
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask).logits
        for widths in WIDTHS:
            parts, _ = stepped(composed, ids, mask, widths)
            close(parts[mask.bool()], whole[mask.bool()])


@rings
def test_logits_without_a_mask_token_by_token_equal_those_of_one_forward(index: int) -> None:
    composed, ids = ring(index), tokens()
    with torch.no_grad():
        whole = composed(ids).logits
        cache = composed(ids[:, :6]).past_key_values
        for place in range(6, LENGTH):
            step = composed(ids[:, place : place + 1], past_key_values=cache)
            torch.testing.assert_close(step.logits[:, 0], whole[:, place], rtol=0, atol=1e-9)


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"do_sample": True, "temperature": 1.3, "top_k": 0},
    "beams": {"num_beams": 3},
    "several beams": {"num_beams": 4, "num_return_sequences": 2},
    "several samples": {"do_sample": True, "num_return_sequences": 3},
    "beam samples": {"do_sample": True, "num_beams": 2},
}


# Each way on two of the eight graphs, greedy on all: between them every architecture meets every bookkeeping.
MET = [("greedy", index) for index in range(8)] + [
    (way, (index + step) % 8) for index, way in enumerate(WAYS) if way != "greedy" for step in (0, 4)
]


@pytest.mark.parametrize(("way", "index"), MET, ids=[f"{way}-{ARCHITECTURES[index]}" for way, index in MET])
def test_generation_is_the_same_with_and_without_a_cache(index: int, way: str) -> None:
    composed = ring(index)
    written = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        written.append(generate(composed, **ragged(), **WAYS[way], use_cache=use_cache))
    assert torch.equal(*written)


@rings
def test_chunked_prefill_writes_the_same(index: int) -> None:
    composed = ring(index)
    assert torch.equal(generate(composed, **ragged(), prefill_chunk_size=4), generate(composed, **ragged()))


def repeating() -> Tensor:
    """A prompt with something to look up."""
    return tokens(1, 5).repeat(1, 3)


@rings
def test_prompt_lookup_writes_the_same(index: int) -> None:
    composed, words = ring(index), {"max_new_tokens": 9}
    plain = generate(composed, repeating(), use_cache=False, **words)
    assert torch.equal(generate(composed, repeating(), prompt_lookup_num_tokens=3, **words), plain)


@rings
def test_assisted_decoding_writes_the_same(index: int) -> None:
    composed, words = ring(index), {"max_new_tokens": 9}
    plain = generate(composed, repeating(), use_cache=False, **words)
    assert torch.equal(generate(composed, repeating(), assistant_model=composed.anchor, **words), plain)


@pytest.mark.parametrize("index", [0, 2], ids=["llama", "gemma3"])
def test_a_composed_model_assists_another(index: int) -> None:
    composed, words = ring(index), {"max_new_tokens": 9}
    plain = generate(composed.anchor, repeating(), use_cache=False, **words)
    assert torch.equal(generate(composed.anchor, repeating(), assistant_model=composed, **words), plain)


def test_an_assistant_that_is_right_is_believed() -> None:
    """The same composition assists itself: every guess is kept, so crops of nothing and long steps are tried too."""
    composed, twin = ring(2), ring(2)
    words = {"max_new_tokens": 9}
    plain = generate(composed, repeating(), use_cache=False, **words)
    assert torch.equal(generate(composed, repeating(), assistant_model=twin, **words), plain)


@rings
def test_generation_goes_on_from_a_returned_cache(index: int) -> None:
    composed, prompt = ring(index), ragged()
    first: Any = generate(composed, **prompt, return_dict_in_generate=True)
    ids = torch.cat([first.sequences, tokens(3, 4, seed=9)], dim=1)
    mask = torch.cat([prompt["attention_mask"], torch.ones(3, 9, dtype=torch.long)], dim=1)
    cache = copy.deepcopy(first.past_key_values)
    anew = generate(composed, ids, attention_mask=mask)
    assert torch.equal(generate(composed, ids, attention_mask=mask, past_key_values=first.past_key_values), anew)
    assert torch.equal(generate(composed, ids, attention_mask=mask, past_key_values=cache), anew)


@rings
def test_a_cache_that_is_cropped_selected_and_repeated_stays_right(index: int) -> None:
    composed, ids = ring(index), tokens(3)
    with torch.no_grad():
        cache = composed.new_cache()
        cache.activate_past_recording()
        cache = composed(ids, past_key_values=cache).past_key_values
        cache.crop(-4)
        cache.batch_select_indices(torch.tensor([2, 0]))
        cache.batch_repeat_interleave(2)
        cache.reorder_cache(torch.tensor([3, 0, 1, 2]))
        kept = ids[[0, 2, 2, 0]]
        step = composed(kept[:, 7:], past_key_values=cache)
        torch.testing.assert_close(step.logits, composed(kept).logits[:, 7:], rtol=0, atol=1e-9)


def test_a_cache_that_is_reset_is_as_good_as_new() -> None:
    composed, ids = ring(0), tokens()
    with torch.no_grad():
        cache = composed(ids).past_key_values
        cache.reset()
        with composed.ablate("far"):
            again = composed(ids, past_key_values=cache)
            torch.testing.assert_close(again.logits, composed(ids).logits, rtol=0, atol=0)
        assert cache.get_seq_length() == LENGTH


def test_cached_and_uncached_tokens_agree_in_fp32_with_a_part_ablated() -> None:
    dtype = torch.float32
    composed = compose(
        model("llama", dtype=dtype), dtype, kv=model("gemma3", dtype=dtype), far=model("gpt2", dtype=dtype)
    )
    with composed.ablate("far"):
        assert torch.equal(generate(composed, **ragged()), generate(composed, **ragged(), use_cache=False))


def test_bf16_strays_no_further_with_a_cache_than_the_anchor_does() -> None:
    """Held to the plain anchor's own deviation in the same comparison, times three: one bridge sums over as many."""
    dtype = torch.bfloat16
    composed = compose(model("llama", dtype=dtype), dtype, kv=model("gpt2", seed=1, dtype=dtype))

    def strays(of: PreTrainedModel) -> float:
        ids = tokens(2, 23)
        whole = of(ids).logits
        cache = of(ids[:, :12]).past_key_values
        return float((of(ids[:, 12:], past_key_values=cache).logits - whole[:, 12:]).abs().max())

    with torch.no_grad():
        assert strays(composed) <= 3 * max(strays(composed.anchor), 2**-7)
