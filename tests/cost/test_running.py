"""What a composition costs to run, held to what torch counts."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from orchestra import ComposedModel
from orchestra.cost.asked import Asked
from orchestra.cost.flops import model_flops
from orchestra.cost.report import Row, cost
from orchestra.cost.running import Flops, anchor_flops, augment_flops, lora_flops, whole_flops
from orchestra.wiring import ANCHOR
from tests.counted import PROMPT, count, read, shapes
from tests.deep import SHAPES, deep
from tests.mixed import anchors, characters, pieces, word_pieces
from tests.prompts import mixed
from tests.tiny import PAIRS, compose, generate, model, pair, ring

STEPS = 3
ASKED = Asked(prompt_length=PROMPT, new_tokens=STEPS, batch=2)


def row(composed: ComposedModel, kind: str = "composition", asked: Asked = ASKED) -> Row:
    return next(each for each in cost(composed.plan, shapes(composed), asked).rows if each.kind == kind)


def agrees(composed: ComposedModel) -> None:
    """Hold a composition to what torch counts, over a batch of prompts and each token behind them."""
    found = row(composed)
    prompt, each = read(composed, rows=2, steps=STEPS, prompt_length=torch.tensor([PROMPT, PROMPT]))
    assert prompt == 2 * found.prompt_flops
    assert sum(each) == pytest.approx(2 * STEPS * found.token_flops, rel=1e-9)


@pytest.mark.parametrize("index", range(8))
def test_a_composition_of_any_architectures_costs_what_torch_counts(index: int) -> None:
    agrees(ring(index, fresh=True))


@pytest.mark.parametrize("name", SHAPES)
def test_so_does_one_in_which_augments_feed_augments(name: str) -> None:
    agrees(deep(name, fresh=True))


def test_so_does_one_with_an_augment_that_reads_the_prompt_only() -> None:
    agrees(mixed(0, fresh=True))
    agrees(deep("beside", fresh=True, second={"context": "prompt"}))
    agrees(deep("chain", fresh=True, second={"context": "prompt"}))  # who feeds it reads no more either


@pytest.mark.parametrize(
    "bridges",
    [
        {"pairs": PAIRS, "variant": "calm"},
        {"pairs": PAIRS, "gate": "token", "heads": 7},
        {"every": 1, "positions": "none"},
    ],
    ids=["calm", "token", "every"],
)
def test_so_does_every_kind_of_bridge(bridges: dict[str, Any]) -> None:
    agrees(compose(model("llama"), fresh=True, kv=(model("gpt2"), {"bridges": bridges})))


def test_a_projection_that_would_cost_more_folded_is_not() -> None:
    agrees(compose(model("mistral"), fresh=True, wide=model("gpt2"), wider=model("mpt")))


def test_an_augment_that_is_off_costs_nothing_but_its_weights() -> None:
    composed = compose(
        model("llama"), fresh=True, kv=model("gpt2"), off=(model("qwen3"), {"enabled": False, "bridges": {"every": 1}})
    )
    agrees(composed)
    assert augment_flops(composed.plan, shapes(composed), ASKED, "off") == Flops(prompt=0, token=0)
    without = compose(model("llama"), kv=model("gpt2"))
    assert row(composed).num_bytes > row(without).num_bytes


def streamed(**augments: Any) -> ComposedModel:
    tokenizers = {"anchor": anchors(), "near": augments.pop("words")}
    return compose(model("llama"), fresh=True, tokenizers=tokenizers, near=(model("gemma3"), augments))


def _note(box: list[Any], composed: Any, ids: Tensor, said: dict[str, Any]) -> None:
    box.append(composed(ids, **said))


def pairs_of_letters(length: int) -> Tensor:
    """Tokens of the anchor that are two letters each."""
    words: Any = anchors()
    both = [index for index in range(len(words)) if len(words.decode([index]).strip()) == 2]
    return torch.tensor([both[index % len(both)] for index in range(length)])[None]


@pytest.mark.parametrize("tail", ["held", "provisional"])
def test_a_stream_costs_by_the_tokens_that_it_has_for_each_of_the_anchors(tail: str) -> None:
    composed = streamed(words=characters(), tail=tail)
    ids = pairs_of_letters(PROMPT + STEPS)
    asked = Asked(prompt_length=PROMPT, new_tokens=STEPS, tokens_per_token={"near": 2.0})
    found, counted = row(composed, asked=asked), []
    cache: Any = None
    for part in ids.split([PROMPT, *[1] * STEPS], dim=1):
        box: list[Any] = []
        said = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
        with torch.no_grad():
            counted.append(count(partial(_note, box, composed, part, said)))
        cache = box[0].past_key_values
    assert cache.augments["near"].get_seq_length() == 2 * (PROMPT + STEPS)
    assert counted[0] == found.prompt_flops
    assert sum(counted[1:]) == pytest.approx(STEPS * found.token_flops, rel=1e-9)


@pytest.mark.parametrize("words", [pieces(1), word_pieces()], ids=["pieces", "word pieces"])
def test_a_prompt_costs_so_whatever_the_stream_holds_back(words: Any) -> None:
    composed = streamed(words=words)
    ids = torch.tensor([[anchors().convert_tokens_to_ids("ab cd "[index % 6]) for index in range(41)]])
    box: list[Any] = []
    with torch.no_grad():
        counted = count(lambda: box.append(composed(ids, use_cache=True, logits_to_keep=1)))
    ratio = box[0].past_key_values.augments["near"].get_seq_length() / 41
    assert 0 < ratio < 1
    found = row(composed, asked=Asked(prompt_length=41, tokens_per_token={"near": ratio}))
    assert counted == pytest.approx(found.prompt_flops, rel=1e-9)


def test_writing_costs_a_prompt_and_a_token_for_each_but_the_first() -> None:
    composed = ring(0, fresh=True)
    found = row(composed)
    prompt, whole = torch.arange(1, 2 * PROMPT + 1).reshape(2, PROMPT), STEPS + 1
    said = {"max_new_tokens": whole, "min_new_tokens": whole, "attention_mask": torch.ones_like(prompt)}
    counted = count(lambda: generate(composed, prompt, **said))
    assert counted == pytest.approx(2 * (found.prompt_flops + STEPS * found.token_flops), rel=1e-9)


def test_the_anchor_alone_is_the_anchor() -> None:
    composed = ring(2, fresh=True)
    prompt, each = read(composed.anchor, steps=STEPS)
    found = anchor_flops(composed.plan, shapes(composed), ASKED)
    assert found.prompt == prompt
    assert found.token * STEPS == pytest.approx(sum(each))


def test_separate_models_are_each_whole() -> None:
    composed = mixed(0, fresh=True)
    known, total = shapes(composed), anchor_flops(composed.plan, shapes(composed), ASKED)
    for node in composed.plan.graph.augments:
        prompt, each = read(composed.augment(node.name), steps=STEPS)
        found = whole_flops(composed.plan, known, ASKED, node)
        assert found.prompt == prompt
        assert found.token * STEPS == pytest.approx(sum(each))
        total += found
    apart = row(composed, "separate")
    assert (apart.prompt_flops, apart.token_flops) == (total.prompt, total.token)


def test_a_stream_as_a_model_of_its_own_writes_as_much_text() -> None:
    composed = streamed(words=characters())
    (node,), known = composed.plan.graph.augments, shapes(composed)
    asked = Asked(prompt_length=7, new_tokens=1, tokens_per_token={"near": 3.0})
    found = whole_flops(composed.plan, known, asked, node)
    assert found.prompt == model_flops(known["near"], new=21)
    assert found.token == model_flops(known["near"], new=3, past=21, heads=3)


def test_lora_adds_its_adapters_to_the_anchor() -> None:
    composed = compose(model("llama"), fresh=True, kv=model("gpt2"))
    known = shapes(composed)
    plain, found = anchor_flops(composed.plan, known, ASKED), lora_flops(composed.plan, known, ASKED, 5)
    widths = sum(each.d_in + each.d_out for layer in known[ANCHOR].layers for each in layer.maps)
    assert found.prompt - plain.prompt == 2 * 5 * widths * PROMPT
    assert found.token - plain.token == pytest.approx(2 * 5 * widths)


@pytest.mark.parametrize("ratio", [None, 0.3, 1.0, 2.5])
@pytest.mark.parametrize(("prompt_length", "new_tokens"), [(1, 1), (1, 2), (2, 31), (5, 60), (40, 7)])
def test_the_mean_of_a_token_is_that_of_one_after_the_other_however_far_windows_reach(
    ratio: float | None, prompt_length: int, new_tokens: int
) -> None:
    composed = streamed(words=characters()) if ratio else ring(0, fresh=True)
    planned, known = composed.plan, dict(shapes(composed))
    for name, widths in ((ANCHOR, [5, 1]), ("near", [7, 12]), ("far", [9])):
        if name in known:
            layers = [replace(layer, window=width) for layer, width in zip(known[name].layers, widths, strict=False)]
            known[name] = replace(known[name], layers=(*layers, *known[name].layers[len(layers) :]))
    asked = Asked(prompt_length=prompt_length, new_tokens=new_tokens, tokens_per_token={"near": ratio} if ratio else {})

    def costs(asked: Asked) -> list[float]:
        found = [anchor_flops(planned, known, asked), lora_flops(planned, known, asked, 3)]
        for node in planned.graph.augments:
            found += [augment_flops(planned, known, asked, node.name), whole_flops(planned, known, asked, node)]
        return [each.token for each in found]

    one_by_one = [costs(replace(asked, prompt_length=prompt_length + done, new_tokens=1)) for done in range(new_tokens)]
    means = [sum(each) / new_tokens for each in zip(*one_by_one, strict=True)]
    assert costs(asked) == (means if ratio is None else pytest.approx(means, rel=1e-12))


def test_longer_texts_cost_more_for_each_token() -> None:
    composed = compose(model("llama"), fresh=True, kv=(model("gpt2"), {"bridges": {"pairs": [pair(1, 1)]}}))
    short, long = (row(composed, asked=Asked(prompt_length=length)) for length in (11, 101))
    assert long.token_flops > short.token_flops
    assert long.prompt_flops > 101 / 11 * short.prompt_flops
