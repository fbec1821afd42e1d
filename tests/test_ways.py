"""Ways that are measured do what a cost is reckoned for."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from orchestra import ComposedModel
from orchestra.cost.asked import Asked
from orchestra.cost.report import Cost, cost
from orchestra.ways import Bench, adapted
from tests.counted import count, shapes
from tests.mixed import anchors, characters, streaming
from tests.tiny import VOCAB, compose, model, words

ASKED = Asked(prompt_length=7, new_tokens=3, batch=2)


def float32() -> ComposedModel:
    near, far = model("gpt2", seed=1, dtype=torch.float32), model("gemma3", seed=2, dtype=torch.float32)
    return compose(model("llama", dtype=torch.float32), torch.float32, near=near, far=far)


def reckoned(composed: ComposedModel, asked: Asked = ASKED) -> Cost:
    return cost(composed.plan, shapes(composed), asked)


def test_each_way_to_run_costs_what_is_reckoned() -> None:
    composed = float32()
    found = reckoned(composed)
    rows = {row.name: row for row in found.rows}
    ways = Bench(composed, ASKED).running(found, adapted(composed, found.lora))
    lora = f"LoRA, rank {found.lora.rank}"
    assert list(ways) == ["anchor", "anchor + far", "anchor + near", "composition", lora, "separate models"]
    for name, way in ways.items():
        parts = [rows[each] for each in name.split(" + ")]
        prompt = count(way["prompt"])
        assert prompt == 2 * sum(row.prompt_flops for row in parts)
        assert count(way["text"]) - prompt == pytest.approx(6 * sum(row.token_flops for row in parts))


def test_each_way_to_train_costs_what_is_reckoned_and_leaves_nothing_behind() -> None:
    composed = float32()
    found, before = reckoned(composed), {name: weight.clone() for name, weight in composed.named_parameters()}
    bench = Bench(composed, ASKED)
    steps = {step.name: step for step in found.train}
    for way in (ways := bench.training(found, adapted(composed, found.lora))).values():
        way()
    assert list(ways) == list(steps)
    for name, way in ways.items():
        assert count(way) == pytest.approx(2 * ASKED.length * steps[name].flops)
    trained = {name for name, _ in composed.trainable()}
    for name, weight in composed.named_parameters():
        assert weight.grad is None
        assert weight.requires_grad == (name in trained)
        assert weight.equal(before[name])


def test_adapters_leave_the_anchor_as_it_is() -> None:
    composed = float32()
    modules = [type(module) for module in composed.anchor.modules()]
    adapted(composed, reckoned(composed).lora)
    assert [type(module) for module in composed.anchor.modules()] == modules


def test_a_stream_is_counted_over_a_whole_text() -> None:
    tokenizers = {"anchor": anchors(), "near": characters()}
    composed = compose(model("llama"), fresh=True, tokenizers=tokenizers, near=model("gpt2"))
    bench: Any = Bench(composed, ASKED)
    read: Any = composed(bench._text, use_cache=True, prompt_length=torch.tensor([7, 7]))
    held = read.past_key_values.columns["near"].longest
    assert bench.ratios() == {"near": held / ASKED.length}
    assert held > 0
    assert Bench(float32(), ASKED).ratios() == {}


@pytest.mark.parametrize("fields", [{}, {"context": "prompt"}, {"tail": "provisional"}])
def test_a_stream_is_counted_over_what_it_reads_unfinished_words_included(fields: dict[str, str]) -> None:
    composed = streaming(0, fresh=True, **fields)
    bench = Bench(composed, Asked(prompt_length=20, new_tokens=20))
    read = composed.alignment("near", bench._text, prompt_length=bench._length)
    assert read is not None
    assert (read.tail is not None) == ("tail" in fields)
    seen: list[int] = []
    weight = composed.augment("near").get_input_embeddings().weight

    def note(module: nn.Module, given: Any) -> None:
        if getattr(module, "weight", None) is weight:
            seen.append(given[0].shape[1])

    hook = register_module_forward_pre_hook(note)
    composed(bench._text, prompt_length=bench._length, use_cache=False)
    hook.remove()
    assert bench.ratios()["near"] == seen[0] / (20 if "context" in fields else 40)


def test_the_text_is_a_text_where_there_is_a_tokenizer_and_drawn_where_not() -> None:
    named = compose(model("llama"), tokenizers={"anchor": words(), "near": words()}, near=model("gpt2"))
    texts = [Bench(each, ASKED)._text for each in (named, float32())]
    assert [text.shape for text in texts] == [(2, 10)] * 2
    assert [bool((text[0] == text[1]).all()) for text in texts] == [True, True]
    assert int(texts[0].max()) == 0  # it knows none of the words
    assert VOCAB > int(texts[1].max()) > 0
