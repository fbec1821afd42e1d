"""Assisted decoding: whoever guesses, the composed model writes what it writes alone."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from orchestra import ComposedModel, ComposeError
from tests.tiny import VOCAB, compose, foreigner, generate, model, tokens, watching, words

LONG: dict[str, Any] = {"max_new_tokens": 9}


def refusal(message: str) -> str:
    return f"^{re.escape(message)}$"


def target() -> ComposedModel:
    return compose(model("llama"), near=model("gemma3", seed=1), far=model("gpt2", seed=2))


def other() -> ComposedModel:
    return compose(model("gpt2", seed=3), kv=model("llama", seed=4))


def padded() -> dict[str, Tensor]:
    """One text with padding before it, and something in it to look up."""
    ids = torch.cat([torch.zeros(1, 2, dtype=torch.long), tokens(1, 5).repeat(1, 2)], dim=1)
    return {"ids": ids, "attention_mask": (ids != 0).long()}


ASSISTANTS: dict[str, Callable[[ComposedModel], PreTrainedModel]] = {
    "a plain model": lambda _: model("gpt2", seed=5),
    "its own anchor": lambda composed: composed.anchor,
    "another composed model": lambda _: other(),
    "itself": lambda composed: composed,
}


@pytest.mark.parametrize("assistant", ASSISTANTS)
@pytest.mark.parametrize("ablated", [(), ("far",), ("far", "near")], ids=["whole", "one off", "all off"])
def test_a_composed_model_writes_the_same_with_an_assistant(assistant: str, ablated: tuple[str, ...]) -> None:
    composed = target()
    with composed.ablate(*ablated):
        plain = generate(composed, **padded(), **LONG, use_cache=False)
        assisted = generate(composed, **padded(), **LONG, assistant_model=ASSISTANTS[assistant](composed))
    assert torch.equal(assisted, plain)


def test_a_plain_model_writes_the_same_with_a_composed_assistant() -> None:
    plain, assistant = model("gpt2", seed=5), target()
    alone = generate(plain, **padded(), **LONG, use_cache=False)
    assert torch.equal(generate(plain, **padded(), **LONG, assistant_model=assistant), alone)
    with assistant.ablate("near"):
        assert torch.equal(generate(plain, **padded(), **LONG, assistant_model=assistant), alone)


def test_an_assistant_that_is_right_saves_forwards_and_one_that_is_wrong_does_not() -> None:
    composed, forwards = target(), []
    for assistant in (target(), model("gpt2", seed=5)):
        assistant.generation_config.assistant_confidence_threshold = 0.0
        with watching() as runs:
            generate(composed, **padded(), **LONG, assistant_model=assistant)
            forwards.append(runs(composed.anchor.get_output_embeddings()))
    assert forwards[0] <= 2
    assert forwards[1] >= 7


def test_sampling_with_an_assistant_keeps_to_what_is_likely() -> None:
    """With one token to choose from, sampling is greedy, through all of the accepting and rejecting."""
    composed = target()
    plain = generate(composed, **padded(), **LONG, use_cache=False)
    sampled = generate(composed, **padded(), **LONG, do_sample=True, top_k=1, assistant_model=other())
    assert torch.equal(sampled, plain)


@pytest.mark.parametrize(("argument", "number"), [("prompt_lookup_num_tokens", 3), ("prefill_chunk_size", 4)])
def test_lookup_and_chunks_write_the_same_with_an_augment_off(argument: str, number: int) -> None:
    composed, way = target(), LONG | {argument: number}
    with composed.ablate("near"):
        plain = generate(composed, **padded(), **LONG, use_cache=False)
        assert torch.equal(generate(composed, **padded(), **way), plain)


def test_the_cache_that_guesses_were_cropped_from_goes_on_right() -> None:
    composed, prompt = target(), padded()
    with composed.ablate("far"):
        first: Any = generate(composed, **prompt, **LONG, assistant_model=other(), return_dict_in_generate=True)
        ids = torch.cat([first.sequences, tokens(1, 3, seed=9)], dim=1)
        mask = (ids != 0).long()
        anew = generate(composed, ids, attention_mask=mask, use_cache=False)
    message = "this cache was filled with near on, and now far, near would be: start with a fresh cache."
    with pytest.raises(ComposeError, match=refusal(message)):
        generate(composed, ids, attention_mask=mask, past_key_values=first.past_key_values)
    with composed.ablate("far"):
        assert torch.equal(generate(composed, ids, attention_mask=mask, past_key_values=first.past_key_values), anew)


@pytest.mark.parametrize("way", ["assistant_model", "prompt_lookup_num_tokens"])
def test_guessing_does_not_go_on_from_a_filled_cache(way: str) -> None:
    """In transformers it would read the whole text once more, behind what the cache holds."""
    composed, ids = target(), padded()["ids"]
    guess = {way: composed.anchor if way == "assistant_model" else 3}
    filled = composed(ids[:, :5]).past_key_values
    message = "assisted decoding and prompt lookup start from an empty cache: drop past_key_values."
    with pytest.raises(ComposeError, match=refusal(message)):
        generate(composed, ids, past_key_values=filled, **guess)
    plain = generate(composed, ids, use_cache=False)
    assert torch.equal(generate(composed, ids, past_key_values=composed.new_cache(), **guess), plain)


def test_an_assistant_may_have_another_tokenizer() -> None:
    composed, more = target(), words()
    more.add_tokens([f"w{number}" for number in range(VOCAB, VOCAB + 4)])
    both: dict[str, Any] = {"tokenizer": words(), "assistant_tokenizer": more}
    plain = generate(composed, **padded(), **LONG, use_cache=False)
    assert torch.equal(generate(composed, **padded(), **LONG, assistant_model=foreigner(), **both), plain)
    alone = generate(foreigner(), **padded(), **LONG, use_cache=False)
    both = {"tokenizer": more, "assistant_tokenizer": words()}
    assert torch.equal(generate(foreigner(), **padded(), **LONG, assistant_model=composed, **both), alone)


def test_a_composed_assistant_of_another_tokenizer_keeps_its_head() -> None:
    message = (
        "the models of a composition are frozen: exchange their heads before composing them (as an assistant of "
        "another tokenizer it guesses greedily only: do_sample=False)."
    )
    with pytest.raises(ComposeError, match=refusal(message)):
        target().set_output_embeddings(torch.nn.Identity())


@pytest.mark.parametrize(
    ("argument", "value"), [("assistant_early_exit", 1), ("use_mtp", True), ("speculation_type", "dflash")]
)
def test_guesses_from_inside_of_one_model_are_refused(argument: str, value: object) -> None:
    message = (
        f"{argument} guesses tokens from inside of one model, past the bridges: use assistant_model=model.anchor, or "
        "prompt_lookup_num_tokens."
    )
    composed, way = target(), LONG | {argument: value}
    with pytest.raises(ComposeError, match=refusal(message)):
        generate(composed, **padded(), **way)
