"""Provisional tokens: what a stream still holds, shown to the one position that holds it."""

import re
from typing import Any

import pytest
import torch

import orchestra
from orchestra import ComposedModel, ComposeError
from orchestra.runtime.branching import check_branching
from tests.configs import CONFIGS
from tests.mixed import anchors, streaming, word_pieces
from tests.tiny import (
    ARCHITECTURES,
    LENGTH,
    WIDTHS,
    close,
    compose,
    document,
    generate,
    model,
    pair,
    ragged,
    stepped,
    tokens,
)

AHEAD: dict[str, Any] = {"tail": "provisional"}
LAST: dict[str, Any] = {"bridges": {"pairs": [pair(1, model("llama").config.num_hidden_layers - 1)]}}
LENGTHS = torch.tensor([7, 2, 5])
CAN = [index for index in range(8) if ARCHITECTURES[(index + 1) % 8] != "bloom"]
rings = pytest.mark.parametrize("index", CAN, ids=[ARCHITECTURES[(index + 1) % 8] for index in CAN])


def composition(kind: str, **fields: Any) -> ComposedModel:
    tokenizers = {"anchor": anchors(), "kv": word_pieces()}
    return compose(model("llama"), tokenizers=tokenizers, kv=(model(kind, seed=1), {**AHEAD, **fields}))


@pytest.mark.parametrize("architecture", [name for name in CONFIGS if name not in ("bloom", "mpt")])
def test_each_position_sees_what_it_would_if_the_text_ended_there(architecture: str) -> None:
    """The bridge is behind the anchor's last layer, so that a position shows only what it sees itself."""
    held, ahead = (composition(architecture, **LAST, tail=tail) for tail in ("held", "provisional"))
    rounding = 1e-5 if architecture in ("gemma2", "gptj") else 1e-9  # they attend in fp32 whatever they are given
    ids, strays = tokens(1), []
    with torch.no_grad():
        shown, plain = ahead(ids).logits[0], held(ids).logits[0]
        for place in range(LENGTH):
            length = torch.tensor([place + 1])
            ended = held(ids[:, : place + 1], prompt_length=length).logits[0, -1]
            torch.testing.assert_close(shown[place], ended, rtol=0, atol=rounding)
            strays.append(float((plain[place] - ended).abs().max()))
        parts, _ = stepped(ahead, ids, torch.ones_like(ids), WIDTHS[0])
        torch.testing.assert_close(parts[0], shown, rtol=0, atol=rounding)
    assert max(strays) > 1e-3  # what is held matters


@rings
def test_logits_token_by_token_equal_those_of_one_forward(index: int) -> None:
    composed, (ids, mask) = streaming(index, **AHEAD), ragged()
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask, prompt_length=LENGTHS).logits
        for widths in WIDTHS:
            parts, cache = stepped(composed, ids, mask, widths, prompt_length=LENGTHS)
            close(parts[mask.bool()], whole[mask.bool()])
            read = [len(reading.ids) for reading in cache.columns["near"].readings]
            assert cache.augments["near"].get_seq_length() == max(read)  # what was provisional is forgotten


@rings
def test_a_row_is_equal_alone_and_padded_and_nothing_later_is_seen(index: int) -> None:
    composed, (ids, mask) = streaming(index, **AHEAD), ragged()
    with torch.no_grad():
        batch = composed(ids, attention_mask=mask).logits
        for row, skipped in enumerate((0, 2, 5)):
            alone = composed(ids[row : row + 1, skipped:]).logits[0]
            close(batch[row, skipped:], alone)
            for place in range(1, LENGTH - skipped, 3):
                close(composed(ids[row : row + 1, skipped : skipped + place]).logits[0], alone[:place])


@pytest.mark.parametrize("way", [{}, {"num_beams": 3}, {"prefill_chunk_size": 4}, {"do_sample": True}], ids=str)
def test_generation_is_the_same_with_and_without_a_cache(way: dict[str, Any]) -> None:
    composed, (ids, mask) = streaming(1, **AHEAD), ragged()
    written = []
    for use_cache in (True, False):
        torch.manual_seed(3)
        words = {name: value for name, value in way.items() if use_cache or name != "prefill_chunk_size"}
        written.append(generate(composed, ids, attention_mask=mask, **words, use_cache=use_cache))
    assert torch.equal(*written)


def test_guesses_that_are_taken_back_leave_nothing() -> None:
    composed, ids, words = streaming(1, **AHEAD), tokens(1, 5).repeat(1, 3), {"max_new_tokens": 9}
    plain = generate(composed, ids, use_cache=False, **words)
    assert torch.equal(generate(composed, ids, prompt_lookup_num_tokens=3, **words), plain)
    assert torch.equal(generate(composed, ids, assistant_model=composed.anchor, **words), plain)


def test_a_window_counts_places_and_not_columns() -> None:
    """Many provisional tokens stand side by side, further apart in columns than Gemma 3's windows are wide."""
    held, ahead = (composition("gemma3", **LAST, tail=tail) for tail in ("held", "provisional"))
    ids = tokens(1, 2 * LENGTH)
    with torch.no_grad():
        ended = held(ids, prompt_length=torch.tensor([2 * LENGTH])).logits[0, -1]
        close(ahead(ids).logits[0, -1], ended)


def test_augments_that_count_columns_or_see_otherwise_are_refused_by_name() -> None:
    for kind, name in (("bloom", "BloomModel"), ("mpt", "MptModel")):
        message = (
            f"augments.kv.tail is 'provisional', but {name} takes the places of tokens from their order, and "
            "provisional ones stand beside each other: use 'held'."
        )
        with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
            composition(kind)
    odd: Any = model("llama")
    odd.config.layer_types = ["full_attention", "chunked_attention"]
    message = (
        "augments.kv.tail is 'provisional', but LlamaForCausalLM has layers of the kind chunked_attention, for which "
        "there is no such mask: use 'held'."
    )
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        check_branching("kv", odd)
    flash: Any = model("llama")
    flash.config._attn_implementation_internal = "flex_attention"
    message = (
        "augments.kv.tail is 'provisional', but LlamaForCausalLM attends by 'flex_attention', which takes no such "
        "mask; load it with 'sdpa': use 'held'."
    )
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        check_branching("kv", flash)


def test_the_places_of_provisional_tokens_count_against_an_augment_s_table() -> None:
    ids = anchors()("a " * 64 + "a", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert composition("gpt2", tail="held")(ids).logits.shape[1] == ids.shape[1]
        with pytest.raises(ComposeError, match=r"^augment 'kv' reads 64 tokens at most, .* and this text has 65:"):
            composition("gpt2")(ids)


def test_an_augment_that_reads_ids_holds_nothing_back() -> None:
    fields = {"kv": {"bridges": {"pairs": [pair(0, 0)]}, **AHEAD}}
    models = {"anchor": model("llama"), "kv": model("gpt2", seed=1)}
    plain = {"kv": {"bridges": {"pairs": [pair(0, 0)]}}}
    with torch.no_grad():
        one, two = (orchestra.load(document(each), models=models) for each in (fields, plain))
        assert torch.equal(one(tokens()).logits, two(tokens()).logits)
