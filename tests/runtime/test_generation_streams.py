"""Streamers and the pipeline."""

from threading import Thread
from typing import Any

import torch
from transformers import TextIteratorStreamer, TextStreamer, pipeline

import orchestra
from orchestra import ComposedModel
from tests.tiny import document, generate, loud, model, tokens, words


def composition() -> ComposedModel:
    models = {"anchor": model("llama"), "near": model("gemma3", seed=1), "far": model("gpt2", seed=2)}
    composed = orchestra.load(document({"near": {}, "far": {}}), models=models, tokenizers={"anchor": words()})
    composed.stacks.double()
    return loud(composed)


def test_a_text_comes_token_by_token_from_a_thread() -> None:
    composed, tokenizer = composition(), words()
    written = generate(composed, tokens(1), use_cache=False)
    streamer: Any = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=60)
    writer = Thread(target=generate, args=(composed, tokens(1)), kwargs={"streamer": streamer})
    writer.start()
    pieces = list(streamer)
    writer.join()
    assert "".join(pieces).split() == str(tokenizer.decode(written[0, -5:])).split()
    assert len([piece for piece in pieces if piece]) == 5


def test_streamed_tokens_are_those_of_prompt_lookup_too() -> None:
    composed, ids, heard = composition(), tokens(1, 5).repeat(1, 2), []

    class Ear(TextStreamer):
        def put(self, value: Any) -> None:
            heard.extend(value.flatten().tolist())

    written = generate(composed, ids, streamer=Ear(words()), prompt_lookup_num_tokens=3)
    assert heard == written[0].tolist()


def test_the_pipeline_writes_what_each_text_alone_would_get() -> None:
    composed = composition()
    tokenizer: Any = composed.tokenizer
    write: Any = pipeline("text-generation", model=composed, tokenizer=tokenizer)
    prompts = ["w5 w7 w11", "w3", "w2 w13 w17 w19 w23"]
    for batch_size in (1, 2):
        answers = write(prompts, max_new_tokens=4, do_sample=False, batch_size=batch_size, return_full_text=False)
        for prompt, [answer] in zip(prompts, answers, strict=True):
            ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
            alone = generate(composed, ids, max_new_tokens=4, use_cache=False)
            assert answer["generated_text"].split() == str(tokenizer.decode(alone[0, -4:])).split()


def test_the_pipeline_returns_several_samples() -> None:
    composed = composition()
    tokenizer: Any = composed.tokenizer
    write: Any = pipeline("text-generation", model=composed, tokenizer=tokenizer)
    torch.manual_seed(3)
    answers = write("w5 w7", max_new_tokens=4, do_sample=True, num_return_sequences=3, top_k=0)
    assert len({answer["generated_text"] for answer in answers}) == 3
