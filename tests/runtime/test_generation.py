import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from transformers import StoppingCriteria, TextStreamer, pipeline

from orchestra import ComposeError
from orchestra.runtime.generation import ComposedGenerationMixin
from tests.tiny import LENGTH, compose, generate, model, ring, tokens, words


@pytest.mark.parametrize("implementation", ["static", "quantized", "offloaded_static"])
def test_other_caches_are_refused(implementation: str) -> None:
    message = (
        f"cache_implementation is '{implementation}'; a composed model generates with a dynamic cache of its own: "
        "drop the argument, or say 'offloaded' to keep it in the CPU's memory."
    )
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        generate(ring(0), tokens(), cache_implementation=implementation)
    generate(ring(0), tokens(), cache_implementation="dynamic")


def test_continuous_batching_is_refused() -> None:
    composed: Any = ring(0)
    for call in (composed.generate_batch, composed.init_continuous_batching):
        with pytest.raises(ComposeError, match=r"^continuous batching is not supported: use generate\.$"):
            call([[1, 2, 3]])


def test_inputs_embeds_are_refused() -> None:
    composed = ring(0)
    embedded = composed.get_input_embeddings()(tokens())
    message = "a composed model reads input_ids; inputs_embeds say nothing to its augments."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        generate(composed, None, inputs_embeds=embedded)  # type: ignore[arg-type]


def test_the_anchor_s_habits_are_taken_over_but_for_its_cache() -> None:
    anchor: Any = model("llama")
    anchor.generation_config.max_new_tokens = 3
    anchor.generation_config.cache_implementation = "static"
    composed: Any = compose(anchor, kv=model("gpt2", seed=1))
    assert composed.generate(tokens()).shape == (2, 14)
    assert anchor.generation_config.cache_implementation == "static"
    anchor.generation_config = None
    assert compose(anchor, kv=model("gpt2", seed=1)).generation_config is not None


def test_a_model_brings_its_own_cache_and_toggles() -> None:
    mixin = ComposedGenerationMixin()
    for needed in (mixin.new_cache, mixin.unswitched, mixin.prompt_readers, mixin.stream_readers):
        with pytest.raises(NotImplementedError):
            needed()


class Switch(StoppingCriteria):
    """Does something after the second token, and never stops."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> Any:
        if input_ids.shape[1] == LENGTH + 2:
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(self.act).result()
        return torch.zeros(len(input_ids), dtype=torch.bool)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("num_beams", [1, 2])
def test_a_switch_thrown_while_a_text_is_written_waits_for_the_next(use_cache: bool, num_beams: int) -> None:
    composed, words = ring(0), {"use_cache": use_cache, "num_beams": num_beams, "max_new_tokens": 9}
    whole = generate(composed, tokens(), **words)
    thrown = [Switch(lambda: composed.disable("near", "far"))]
    assert torch.equal(generate(composed, tokens(), stopping_criteria=thrown, **words), whole)
    assert composed.active == ()
    silent = generate(composed.anchor, tokens(), **words)
    assert torch.equal(generate(composed, tokens(), **words), silent)
    assert not torch.equal(whole, silent)


def test_the_text_generation_pipeline_runs() -> None:
    composed, tokenizer = ring(0), words()
    write: Any = pipeline("text-generation", model=composed, tokenizer=tokenizer)
    prompts = ["w5 w7 w11", "w3"]
    batched = write(prompts, max_new_tokens=4, do_sample=False, batch_size=2, return_full_text=False)
    for prompt, [answer] in zip(prompts, batched, strict=True):
        ids = generate(composed, tokenizer(prompt, return_tensors="pt")["input_ids"], max_new_tokens=4)
        assert answer["generated_text"].split() == str(tokenizer.decode(ids[0, -4:])).split()


def test_tokens_stream_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    composed, tokenizer = ring(0), words()
    ids = generate(composed, tokens(1), streamer=TextStreamer(tokenizer))
    assert capsys.readouterr().out.split() == str(tokenizer.decode(ids[0])).split()


def test_scores_and_states_of_a_generation_are_returned() -> None:
    out: Any = generate(ring(0), tokens(), return_dict_in_generate=True, output_logits=True, output_hidden_states=True)
    assert len(out.logits) == len(out.hidden_states) == 5
    assert torch.equal(torch.stack(out.logits, 1).argmax(-1), out.sequences[:, -5:])
