"""Every way to write, where augments have tokenizers of their own: the same as full forwards write."""

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from transformers import PreTrainedTokenizerFast, TextStreamer, pipeline

from orchestra import ComposedModel
from tests.mixed import anchors, pieces, streaming
from tests.tiny import compose, foreigner, generate, model, tokens

TEXTS = ("abe '1", "c-d", "é e ba1 dd")


def composition() -> ComposedModel:
    return streaming(2)  # Gemma 3, read by GPT-2 and Mixtral


def ended() -> PreTrainedTokenizerFast:
    """The anchor's tokenizer, with an end."""
    made = copy.deepcopy(anchors())
    made.eos_token = "<unk>"
    return made


def alone(composed: ComposedModel, text: str, length: int) -> Tensor:
    """What full forwards write after a text: ``(length,)``."""
    ids = anchors()(text, return_tensors="pt")["input_ids"]
    return generate(composed, ids, max_new_tokens=length, use_cache=False)[0, ids.shape[1] :]


def test_the_text_generation_pipeline_writes_each_text_as_alone() -> None:
    composed = composition()
    write: Any = pipeline("text-generation", model=composed, tokenizer=anchors())
    answers = write(list(TEXTS), max_new_tokens=4, do_sample=False, batch_size=3, return_full_text=False)
    for text, [answer] in zip(TEXTS, answers, strict=True):
        expected = anchors().decode(alone(composed, text, 4), skip_special_tokens=True)
        assert answer["generated_text"].strip() == str(expected).strip()


def test_tokens_stream_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    ids = generate(composition(), tokens(1), streamer=TextStreamer(anchors()))
    assert capsys.readouterr().out == f"{anchors().decode(ids[0])}\n"


@pytest.mark.parametrize("way", [{}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}], ids=str)
def test_an_offloaded_cache_writes_the_same(way: dict[str, Any]) -> None:
    composed, ids = composition(), tokens(1, 5).repeat(1, 2)
    plain = generate(composed, ids, **way | {"prompt_lookup_num_tokens": None}, use_cache=False)
    assert torch.equal(generate(composed, ids, **way, cache_implementation="offloaded"), plain)


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("fresh_compiler")
def test_a_compiled_model_computes_and_writes_the_same() -> None:
    compiled: Any = torch.compile(composition(), backend="eager")
    with torch.no_grad():
        assert torch.equal(compiled(tokens()).logits, composition()(tokens()).logits)
    assert torch.equal(generate(compiled, tokens()), generate(composition(), tokens(), use_cache=False))


def test_an_assistant_may_have_another_tokenizer() -> None:
    composed, more = composition(), ended()
    more.add_tokens(["ff", "gg", "hh", "ii"])
    ids = anchors()(TEXTS[0], return_tensors="pt")["input_ids"]
    both: dict[str, Any] = {"tokenizer": ended(), "assistant_tokenizer": more}
    plain = generate(composed, ids, use_cache=False)
    assert torch.equal(generate(composed, ids, assistant_model=foreigner(), **both), plain)
    both = {"tokenizer": more, "assistant_tokenizer": ended()}
    plain = generate(foreigner(), ids, use_cache=False)
    assert torch.equal(generate(foreigner(), ids, assistant_model=composed, **both), plain)


def asked(kind: Any, *arguments: Any) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


def test_the_harness_writes_and_weighs_texts_as_the_model_does() -> None:
    composed = composition()
    harness: Any = HFLM(pretrained=composed, tokenizer=ended(), batch_size=2)
    wanted = {"until": ["<unk>"], "max_gen_toks": 4, "do_sample": False}
    written = harness.generate_until([asked("generate_until", text, wanted) for text in TEXTS])
    for text, answer in zip(TEXTS, written, strict=True):
        expected = str(anchors().decode(alone(composed, text, 4), skip_special_tokens=True))
        assert answer.strip() == expected.split("<unk>")[0].strip()
    pairs = [(TEXTS[0], "bé"), (TEXTS[1], "-1a"), (TEXTS[2], "e")]
    found = harness.loglikelihood([asked("loglikelihood", *pair) for pair in pairs])
    for pair, (value, _) in zip(pairs, found, strict=True):
        context, more = harness._encode_pair(*pair)
        with torch.no_grad():
            likely = composed(torch.tensor([context + more])).logits[0, len(context) - 1 : -1].log_softmax(-1)
        assert value == pytest.approx(float(likely.gather(1, torch.tensor(more)[:, None]).sum()), abs=1e-9)


def test_two_augments_of_one_checkpoint_may_read_it_in_two_ways() -> None:
    shared = model("gpt2", seed=1)
    composed = compose(
        model("llama"),
        tokenizers={"anchor": anchors(), "one": pieces(1), "two": pieces(2)},
        one=shared,
        two=shared,
    )
    assert composed.augment("one") is composed.augment("two")
    with torch.no_grad():
        whole = composed(tokens()).logits
        cache = composed(tokens()[:, :5]).past_key_values
        torch.testing.assert_close(
            composed(tokens()[:, 5:], past_key_values=cache).logits, whole[:, 5:], rtol=0, atol=1e-9
        )
        assert cache.columns["one"].readings[0].ids != cache.columns["two"].readings[0].ids


def test_threads_read_their_own_texts() -> None:
    """The tokenizers of a stream are shared by all calls of a model."""
    composed = composition()
    texts = [tokens(1, 7, seed=seed) for seed in range(8)]
    alone = [generate(composed, ids) for ids in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda ids: generate(composed, ids), texts))
    assert all(map(torch.equal, together, alone))
