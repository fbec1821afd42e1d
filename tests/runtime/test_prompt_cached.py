"""Cached = uncached for an augment that reads the prompt only, however tokens are chosen and caches are handled."""

import copy
from typing import Any

import pytest
import torch

from tests.prompts import LENGTHS, mixed
from tests.tiny import ARCHITECTURES, LENGTH, WIDTHS, close, generate, ragged, stepped, tokens, watching

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)
some = pytest.mark.parametrize("index", [0, 1, 6], ids=["llama", "gemma3", "bloom"])  # plain, windows, alibi


@rings
def test_logits_token_by_token_equal_those_of_one_forward(index: int) -> None:
    composed, (ids, mask) = mixed(index), ragged()
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask, prompt_length=LENGTHS).logits
        for widths in WIDTHS:
            parts, _ = stepped(composed, ids, mask, widths, prompt_length=LENGTHS)
            close(parts[mask.bool()], whole[mask.bool()])


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"do_sample": True, "temperature": 1.3, "top_k": 0},
    "beams": {"num_beams": 3},
    "several beams": {"num_beams": 4, "num_return_sequences": 2},
    "several samples": {"do_sample": True, "num_return_sequences": 3},
}
MET = [("greedy", index) for index in range(8)] + [(way, place) for place, way in enumerate(WAYS) if way != "greedy"]


@pytest.mark.parametrize(("way", "index"), MET, ids=[f"{way}-{ARCHITECTURES[index]}" for way, index in MET])
def test_generation_is_the_same_with_and_without_a_cache(index: int, way: str) -> None:
    """The whole input is the prompt, or, in every other graph, what is said to be."""
    composed, (ids, mask) = mixed(index), ragged()
    words = {**WAYS[way], **({"prompt_length": LENGTHS} if index % 2 else {})}
    written = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        written.append(generate(composed, ids, attention_mask=mask, **words, use_cache=use_cache))
    assert torch.equal(*written)


@rings
def test_chunked_prefill_writes_the_same(index: int) -> None:
    composed, (ids, mask) = mixed(index), ragged()
    chunked = generate(composed, ids, attention_mask=mask, prefill_chunk_size=4)
    assert torch.equal(chunked, generate(composed, ids, attention_mask=mask))


@some
def test_assisted_decoding_and_prompt_lookup_write_the_same(index: int) -> None:
    composed, ids, words = mixed(index), tokens(1, 5).repeat(1, 3), {"max_new_tokens": 9}
    plain = generate(composed, ids, use_cache=False, **words)
    assert torch.equal(generate(composed, ids, prompt_lookup_num_tokens=3, **words), plain)
    assert torch.equal(generate(composed, ids, assistant_model=composed.anchor, **words), plain)
    assert torch.equal(generate(composed, ids, assistant_model=mixed(index), **words), plain)
    said = {"prompt_length": torch.tensor([4]), **words}
    plain = generate(composed, ids, use_cache=False, **said)
    assert torch.equal(generate(composed, ids, assistant_model=composed.anchor, **said), plain)


def test_an_assistant_goes_on_knowing_the_prompt_and_is_believed_to_the_end() -> None:
    composed, twin, words = mixed(0), mixed(0), {"max_new_tokens": 9}
    twin.generation_config.num_assistant_tokens_schedule = "constant"
    twin.generation_config.num_assistant_tokens = 3
    twin.generation_config.assistant_confidence_threshold = 0.0
    with watching() as runs:
        assisted = generate(composed, tokens(1), assistant_model=twin, **words)
    assert torch.equal(assisted, generate(composed, tokens(1), use_cache=False, **words))
    assert runs(composed.anchor) == 3  # each step takes three guesses and adds a token


@some
def test_generation_goes_on_from_a_returned_cache_with_the_prompt_that_it_had(index: int) -> None:
    composed, (prompt, mask) = mixed(index), ragged()
    first: Any = generate(composed, prompt, attention_mask=mask, return_dict_in_generate=True)
    ids = torch.cat([first.sequences, tokens(3, 4, seed=9)], dim=1)
    seen = torch.cat([mask, torch.ones(3, 9, dtype=torch.long)], dim=1)
    cache = copy.deepcopy(first.past_key_values)
    anew = generate(composed, ids, attention_mask=seen, prompt_length=mask.sum(-1))
    with watching() as runs:
        assert torch.equal(generate(composed, ids, attention_mask=seen, past_key_values=cache), anew)
    assert runs(composed.augment("near")) == 0
    cache = copy.deepcopy(first.past_key_values)
    said = {"past_key_values": cache, "prompt_length": mask.sum(-1)}
    assert torch.equal(generate(composed, ids, attention_mask=seen, **said), anew)
    with torch.no_grad():
        lengths = (mask.sum(-1), seen.sum(-1))
        kept, read = (composed(ids, attention_mask=seen, prompt_length=length).logits[:, -1] for length in lengths)
    assert (kept - read).abs().max() > 1e-3  # the new text could have been read


@some
def test_a_prompt_that_is_read_in_part_ahead_goes_on_when_told_to(index: int) -> None:
    """A preamble shared by many prompts, read once."""
    composed, (ids, mask) = mixed(index), ragged()
    with torch.no_grad():
        ahead = composed(ids[:, :6], attention_mask=mask[:, :6], prompt_length=mask[:, :6].sum(-1)).past_key_values
    plain = generate(composed, ids, attention_mask=mask)
    said = {"past_key_values": ahead, "prompt_length": mask.sum(-1)}
    assert torch.equal(generate(composed, ids, attention_mask=mask, **said), plain)


@some
def test_a_cache_that_is_cropped_selected_and_repeated_stays_right(index: int) -> None:
    composed, ids, lengths = mixed(index), tokens(3), torch.tensor([9, 3, 5])
    # Cut off after the last prompt, inside the longest, inside another; the longest is kept, or dropped.
    for tokens_to_remove, rows in ((-1, [2, 0]), (-4, [2, 0]), (-7, [2, 0]), (-1, [2, 1]), (-4, [2, 1])):
        with torch.no_grad():
            cache = composed.new_cache()
            cache.activate_past_recording()
            cache = composed(ids, past_key_values=cache, prompt_length=lengths).past_key_values
            cache.crop(tokens_to_remove)
            cache.batch_select_indices(torch.tensor(rows))
            cache.batch_repeat_interleave(2)
            cache.reorder_cache(torch.tensor([3, 0, 1, 2], dtype=torch.int32))
            rows, left = [rows[place] for place in (1, 0, 0, 1)], LENGTH + tokens_to_remove
            step = composed(ids[rows, left:], past_key_values=cache)
            whole = composed(ids[rows], prompt_length=lengths[rows]).logits
        torch.testing.assert_close(step.logits, whole[:, left:], rtol=0, atol=1e-9)
        assert step.past_key_values.prompt_length.equal(lengths[rows])


def test_rows_that_are_padded_on_the_right_go_on_with_their_prompts() -> None:
    """The short row's prompt goes on in the second part, behind padding that nobody's prompt filled."""
    composed, ids = mixed(0), tokens()
    mask = torch.ones(2, LENGTH, dtype=torch.long)
    mask[1, 3:7] = 0
    lengths = torch.tensor([2, 5])
    with torch.no_grad():
        cache = composed(ids[:, :7], attention_mask=mask[:, :7], prompt_length=lengths).past_key_values
        assert cache.augments["near"].get_seq_length() == 3
        step = composed(ids[:, 7:], attention_mask=mask, past_key_values=cache).logits
        whole = composed(ids, attention_mask=mask, prompt_length=lengths).logits[:, 7:]
    torch.testing.assert_close(step, whole, rtol=0, atol=1e-9)
