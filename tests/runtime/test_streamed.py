"""The invariants of forward and cache where augments have tokenizers of their own."""

import copy
import re
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from orchestra import ComposeError
from tests.mixed import anchors, characters, pieces, streaming, word_pieces
from tests.tiny import (
    ARCHITECTURES,
    LENGTH,
    WIDTHS,
    close,
    compose,
    generate,
    model,
    ragged,
    stepped,
    tokens,
    watching,
)

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)
some = pytest.mark.parametrize("index", [0, 1, 6], ids=["llama", "gemma3", "bloom"])  # plain, windows, alibi
PROMPT: dict[str, Any] = {"context": "prompt"}


# -- what is seen ---------------------------------------------------------------------------------------------------


@rings
def test_a_later_token_changes_nothing_earlier_and_an_earlier_one_is_seen(index: int) -> None:
    composed, ids = streaming(index), tokens()
    with torch.no_grad():
        before = composed(ids).logits
        for place in range(1, LENGTH):
            changed = ids.clone()
            changed[:, place] = (changed[:, place] + 40) % 96 + 1
            after = composed(changed).logits
            close(after[:, :place], before[:, :place])
    with torch.no_grad(), composed.ablate("near"):
        assert (composed(ids).logits - before)[:, -1].abs().max() > 1e-3


@rings
def test_a_row_is_equal_alone_and_padded_on_either_side(index: int) -> None:
    composed, (ids, mask) = streaming(index), ragged()
    right = torch.stack([row.roll(-int((keep == 0).sum())) for row, keep in zip(ids, mask, strict=True)])
    with torch.no_grad():
        left = composed(ids, attention_mask=mask).logits
        other = composed(right, attention_mask=mask.flip(1)).logits
        for row, skipped in enumerate((0, 2, 5)):
            alone = composed(ids[row : row + 1, skipped:]).logits[0]
            close(left[row, skipped:], alone)
            close(other[row, : LENGTH - skipped], alone)


def test_an_augment_reads_the_anchor_s_text_as_its_own_tokenizer_parts_it() -> None:
    composed, text = streaming(3), "bad e1 ce-é'abe"
    ids = anchors()(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        cache = composed(ids, prompt_length=torch.tensor([ids.shape[1]])).past_key_values
        for name, own in (("near", pieces(1)), ("far", characters())):
            expected = own(text, return_tensors="pt")["input_ids"]
            assert cache.columns[name].readings[0].ids == expected[0].tolist()
            alone = composed.augment(name)(expected, use_cache=True).past_key_values.layers[0]
            close(cache.augments[name].layers[0].keys, alone.keys)


def test_where_each_token_commits_one_the_stream_gives_what_shared_ids_give() -> None:
    """All read letters; one augment reads the anchor's ids, one a stream, for a template that changes nothing."""
    ids = torch.randint(3, 13, (2, LENGTH), generator=torch.Generator().manual_seed(0))
    made = [
        compose(
            model("llama"),
            tokenizers={"anchor": characters(), "kv": characters()},
            kv=(model("gpt2", seed=1), fields),
        )
        for fields in ({}, {"template": {"<begin>": ""}})
    ]
    assert made[0].stream_readers() == ()
    assert made[1].stream_readers() == ("kv",)
    with torch.no_grad():
        close(made[1](ids).logits, made[0](ids).logits)


def test_fresh_bridges_leave_every_logit_untouched() -> None:
    composed = streaming(0, fresh=True)
    with torch.no_grad():
        assert torch.equal(composed(tokens()).logits, composed.anchor(tokens()).logits)


# -- cached = uncached ----------------------------------------------------------------------------------------------


@rings
def test_logits_token_by_token_equal_those_of_one_forward(index: int) -> None:
    composed, (ids, mask) = streaming(index, **(PROMPT if index % 2 else {})), ragged()
    lengths = torch.tensor([7, 2, 5])
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask, prompt_length=lengths).logits
        for widths in WIDTHS:
            parts, _ = stepped(composed, ids, mask, widths, prompt_length=lengths)
            close(parts[mask.bool()], whole[mask.bool()])


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"do_sample": True, "temperature": 1.3, "top_k": 0},
    "beams": {"num_beams": 3},
    "several beams": {"num_beams": 4, "num_return_sequences": 2},
    "several samples": {"do_sample": True, "num_return_sequences": 3},
    "beam samples": {"do_sample": True, "num_beams": 2},
}
MET = [("greedy", index) for index in range(8)] + [(way, place) for place, way in enumerate(WAYS) if way != "greedy"]


@pytest.mark.parametrize(("way", "index"), MET, ids=[f"{way}-{ARCHITECTURES[index]}" for way, index in MET])
def test_generation_is_the_same_with_and_without_a_cache(index: int, way: str) -> None:
    composed, (ids, mask) = streaming(index, **(PROMPT if index % 2 else {})), ragged()
    written = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        written.append(generate(composed, ids, attention_mask=mask, **WAYS[way], use_cache=use_cache))
    assert torch.equal(*written)


@rings
def test_chunked_prefill_writes_the_same(index: int) -> None:
    composed, (ids, mask) = streaming(index), ragged()
    chunked = generate(composed, ids, attention_mask=mask, prefill_chunk_size=4)
    assert torch.equal(chunked, generate(composed, ids, attention_mask=mask))


@some
def test_assisted_decoding_and_prompt_lookup_write_the_same(index: int) -> None:
    composed, ids, words = streaming(index), tokens(1, 5).repeat(1, 3), {"max_new_tokens": 9}
    plain = generate(composed, ids, use_cache=False, **words)
    assert torch.equal(generate(composed, ids, prompt_lookup_num_tokens=3, **words), plain)
    assert torch.equal(generate(composed, ids, assistant_model=composed.anchor, **words), plain)
    assert torch.equal(generate(composed, ids, assistant_model=streaming(index), **words), plain)
    alone = generate(composed.anchor, ids, **words)
    assert torch.equal(generate(composed.anchor, ids, assistant_model=composed, **words), alone)


def test_an_assistant_that_reads_alike_is_believed_to_the_end() -> None:
    composed, twin, words = streaming(0), streaming(0), {"max_new_tokens": 9}
    twin.generation_config.num_assistant_tokens_schedule = "constant"
    twin.generation_config.num_assistant_tokens = 3
    twin.generation_config.assistant_confidence_threshold = 0.0
    with watching() as runs:
        assisted = generate(composed, tokens(1), assistant_model=twin, **words)
    assert torch.equal(assisted, generate(composed, tokens(1), use_cache=False, **words))
    assert runs(composed.anchor) == 3  # each step takes three guesses and adds a token


@some
def test_a_cache_that_is_cropped_selected_and_repeated_stays_right(index: int) -> None:
    composed, (ids, mask) = streaming(index), ragged()
    lengths = torch.tensor([4, 9, 2])
    for tokens_to_remove, rows in ((-1, [2, 0]), (-4, [2, 0]), (-6, [2, 1])):
        with torch.no_grad():
            cache = composed.new_cache()
            cache.activate_past_recording()
            said = {"attention_mask": mask, "prompt_length": lengths}
            cache = composed(ids, past_key_values=cache, **said).past_key_values
            cache.crop(tokens_to_remove)
            cache.batch_select_indices(torch.tensor(rows))
            cache.batch_repeat_interleave(2)
            cache.reorder_cache(torch.tensor([3, 0, 1, 2], dtype=torch.int32))
            rows, left = [rows[place] for place in (1, 0, 0, 1)], LENGTH + tokens_to_remove
            step = composed(ids[rows, left:], attention_mask=mask[rows], past_key_values=cache)
            whole = composed(ids[rows], attention_mask=mask[rows], prompt_length=lengths[rows]).logits
        close(step.logits, whole[:, left:])


def test_rows_are_repeated_also_where_an_augment_that_has_read_holds_nothing() -> None:
    """What it had committed is forgotten, and its words begin later."""
    composed, ids = streaming(0), tokens(3)[1:]
    with torch.no_grad():
        cache = composed(ids, prompt_length=torch.tensor([LENGTH] * 2)).past_key_values
        cache.crop(1 - LENGTH)
        assert cache.columns["far"].width == 0
        cache.batch_repeat_interleave(2)
        rows = [0, 0, 1, 1]
        step = composed(ids[rows, 1:], past_key_values=cache).logits
        close(step, composed(ids[rows], prompt_length=torch.tensor([LENGTH] * 4)).logits[:, 1:])


def test_a_cache_cropped_to_nothing_and_one_reset_start_again() -> None:
    composed, ids = streaming(0), tokens()
    with torch.no_grad():
        whole = composed(ids).logits
        for crop in (True, False):
            cache = composed(ids, prompt_length=torch.tensor([3, 5])).past_key_values
            if crop:
                cache.crop(-LENGTH)
            else:
                cache.reset()
            close(composed(ids, past_key_values=cache).logits, whole)
            cache.crop(-LENGTH)
            said = {"prompt_length": torch.tensor([0, 3])}  # one row has no prompt at all
            close(composed(ids, past_key_values=cache, **said).logits, composed(ids, **said).logits)


def test_a_window_counts_an_augment_s_own_tokens_in_a_batch_whose_rows_commit_at_different_times() -> None:
    """Gemma 3's windows are shorter than what its streams hold here."""
    augment = model("gemma3", seed=1)
    assert augment.config.sliding_window < 2 * LENGTH
    composed = compose(model("llama"), tokenizers={"anchor": anchors(), "kv": characters()}, kv=augment)
    ids = tokens(3, 2 * LENGTH)
    with torch.no_grad():
        whole = composed(ids).logits
        cache, logits = None, []
        for new in ids.split(1, dim=1):
            step = composed(new, past_key_values=cache, use_cache=True)
            cache = step.past_key_values
            logits.append(step.logits)
            assert cache.columns["kv"].width == max(len(reading.ids) for reading in cache.columns["kv"].readings)
            assert cache.augments["kv"].get_seq_length() == cache.columns["kv"].width
    close(torch.cat(logits, dim=1), whole)


# -- the end of a prompt --------------------------------------------------------------------------------------------


def held_and_closed() -> tuple[Any, Tensor]:
    """A composition, and a prompt whose last letters its augment would still hold."""
    composed = compose(model("llama"), tokenizers={"anchor": anchors(), "kv": word_pieces()}, kv=model("gpt2", seed=1))
    return composed, anchors()("ab cd", return_tensors="pt")["input_ids"]


def test_generation_reads_the_last_word_of_the_prompt_before_it_writes() -> None:
    composed, ids = held_and_closed()
    first: Any = generate(composed, ids, max_new_tokens=1, return_dict_in_generate=True, output_logits=True)
    with torch.no_grad():
        open_, cut = composed(ids).logits, composed(ids, prompt_length=torch.tensor([ids.shape[1]])).logits
    close(first.logits[0], cut[:, -1].float())
    assert (cut[:, -1] - open_[:, -1]).abs().max() > 1e-3
    close(cut[:, :-1], open_[:, :-1])


def test_training_reads_it_where_labels_begin() -> None:
    composed, ids = held_and_closed()
    whole = torch.cat([ids, tokens(1, 4)], dim=1)
    labels = whole.clone()
    labels[:, : ids.shape[1]] = -100
    with torch.no_grad():
        told = composed(whole, prompt_length=torch.tensor([ids.shape[1]])).logits
        close(composed(whole, labels=labels).logits, told)
        close(composed(whole, labels=whole).logits, composed(whole).logits)  # all is learnt, and nothing is a prompt
        written = composed(ids, prompt_length=torch.tensor([ids.shape[1]])).past_key_values
        close(composed(whole[:, ids.shape[1] :], past_key_values=written).logits, told[:, ids.shape[1] :])


def test_generation_that_goes_on_reads_the_last_word_of_what_is_new() -> None:
    composed, ids = held_and_closed()
    first: Any = generate(composed, ids, return_dict_in_generate=True)
    for cache in (first.past_key_values, copy.deepcopy(first.past_key_values)):
        longer = torch.cat([first.sequences, ids], dim=1)
        more: Any = generate(composed, longer, past_key_values=cache, max_new_tokens=1, return_dict_in_generate=True)
        [reading] = more.past_key_values.columns["kv"].readings
        assert reading.held == ""
        assert len(reading.counts) == longer.shape[1]
        cache.batch_repeat_interleave(2)
        with torch.no_grad():
            assert composed(tokens(2, 1), past_key_values=cache).logits.shape[0] == 2


def test_a_prompt_that_ended_within_the_cache_is_refused() -> None:
    composed, ids = held_and_closed()
    with torch.no_grad():
        cache = composed(ids).past_key_values
    message = (
        "prompt_length is [2], and this cache holds more, read when that was unknown: say it from the first forward "
        "on, or start with a fresh cache."
    )
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        composed(ids, past_key_values=cache, prompt_length=torch.tensor([2]))


# -- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_text_that_an_augment_cannot_read_is_refused_and_the_cache_stays_good() -> None:
    """Its tokenizer has no digits and no unknown token, and its table of positions ends at 64."""
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(vocab={"a": 0, "b": 1, " ": 2}, merges=[])))
    composed = compose(model("llama"), tokenizers={"anchor": anchors(), "kv": bare}, kv=model("gpt2", seed=1))
    good, odd, long = (anchors()(text, return_tensors="pt")["input_ids"] for text in ("ab ab", "ab 1 b", "ab " * 30))
    with torch.no_grad():
        cache = composed(good).past_key_values
        whole = composed(torch.cat([good, good], dim=1)).logits
        for text, words in (
            (odd, "augments.kv: its tokenizer has no token for '1' (U+0031), nor one for what it does not know, and "
             "the text would be lost."),
            (long, "augment 'kv' reads 64 tokens at most, its table of positions ends there, and this text has 95: "
             "shorten it, or switch the augment off."),
        ):  # fmt: skip
            with pytest.raises(ComposeError, match=f"^{re.escape(words)}$"):
                composed(text, past_key_values=cache)
        close(composed(good, past_key_values=cache).logits, whole[:, good.shape[1] :])
