"""What training costs, held to what torch counts."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from orchestra import ComposedModel
from orchestra.cost.asked import Asked
from orchestra.cost.report import TrainRow, cost
from orchestra.cost.running import rank_params
from orchestra.cost.training import full_step, lora_step
from tests.counted import PROMPT, count, shapes, trained
from tests.deep import SHAPES, deep
from tests.prompts import mixed
from tests.tiny import PAIRS, compose, model, pair, ring, tokens

ASKED = Asked(prompt_length=7, new_tokens=PROMPT - 7, batch=2)


def row(composed: ComposedModel, kind: str = "composition") -> TrainRow:
    return next(each for each in cost(composed.plan, shapes(composed), ASKED).train if each.kind == kind)


def agrees(composed: ComposedModel) -> None:
    """Hold a step over two texts, whose prompts have seven tokens, to what torch counts."""
    found = row(composed)
    composed.train()
    forward, backward = trained(composed, rows=2, prompt_length=torch.tensor([7, 7]))
    assert forward == pytest.approx(2 * PROMPT * found.forward_flops, rel=1e-9)
    assert backward == pytest.approx(2 * PROMPT * found.backward_flops, rel=1e-9)


@pytest.mark.parametrize("index", range(8))
def test_a_step_of_any_architectures_costs_what_torch_counts(index: int) -> None:
    agrees(ring(index, fresh=True))


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_pass_through_augments_that_are_fed(name: str) -> None:
    agrees(deep(name, fresh=True))


@pytest.mark.parametrize("name", ["beside", "chain"])
def test_who_feeds_a_reader_of_prompts_alone_learns_no_more_either(name: str) -> None:
    agrees(deep(name, fresh=True, second={"context": "prompt"}))


def test_an_augment_that_reads_the_prompt_only_costs_less() -> None:
    agrees(mixed(1, fresh=True))


@pytest.mark.parametrize(
    "bridges",
    [
        {"pairs": PAIRS, "variant": "calm"},
        {"pairs": [pair(0, 1)], "variant": "calm"},
        {"pairs": [pair(2, 2), pair(1, 2)], "gate": "token"},
    ],
    ids=["calm", "calm, one", "token"],
)
def test_so_does_every_kind_of_bridge(bridges: dict[str, Any]) -> None:
    agrees(compose(model("llama"), fresh=True, kv=(model("gpt2"), {"bridges": bridges})))


def test_in_the_papers_form_gradients_reach_projections_of_what_is_fed_only() -> None:
    calm = {"bridges": {"pairs": [pair(0, 0), pair(1, 1)], "variant": "calm"}}
    fed: dict[str, Any] = {**calm, "into": ["second"]}
    agrees(compose(model("llama"), fresh=True, first=(model("qwen3"), fed), second=(model("gpt2"), calm)))


def test_opt_has_maps_before_and_behind_its_layers() -> None:
    agrees(compose(model("opt"), fresh=True, kv=model("opt", seed=1)))


@pytest.mark.parametrize("anchor", ["llama", "opt"])
@pytest.mark.parametrize("place", ["embedding", 0, 1])
def test_on_kept_taps_what_is_frozen_below_the_bridges_is_not_run(anchor: str, place: int | str) -> None:
    bridges = {"bridges": {"pairs": [pair(1, place), pair(0, 1)]}}
    composed = compose(model(anchor), fresh=True, kv=(model("gpt2"), bridges))
    found, ids = row(composed, "kept"), tokens(2, PROMPT)
    taps = composed.taps(ids)
    composed(ids, labels=ids, taps=taps)  # the first time, it looks at what a layer returns
    box: list[Any] = []
    forward = count(lambda: box.append(composed(ids, labels=ids, taps=taps)))
    backward = count(lambda: box[0].loss.backward())
    assert forward == pytest.approx(2 * PROMPT * found.forward_flops, rel=1e-9)
    assert backward == pytest.approx(2 * PROMPT * found.backward_flops, rel=1e-9)
    assert sum(each.nbytes for one in taps for each in one.values()) == 2 * PROMPT * found.disk_bytes


def test_there_are_no_kept_taps_where_augments_feed_augments() -> None:
    assert "kept" not in {each.kind for each in cost(deep("chain").plan, shapes(deep("chain")), ASKED).train}


def test_there_is_nothing_to_train_where_all_is_off() -> None:
    composed = compose(model("llama"), kv=(model("gpt2"), {"enabled": False}))
    kinds = [each.kind for each in cost(composed.plan, shapes(composed), ASKED).train]
    assert kinds == ["lora", "tuned"]


def test_a_model_that_is_read_as_if_it_were_another_is_told_of() -> None:
    composed = compose(model("llama"), kv=model("gpt2"))
    guessed = {name: replace(found, known=name == "anchor") for name, found in shapes(composed).items()}
    assert cost(composed.plan, guessed, ASKED).notes[-1] == (
        "kv is a gpt2, and was read as if a llama: its FLOPs are an estimate."
    )


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21 asks transformers 5.23
@pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning")  # it mends what it warns of
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "falcon", "phi3", "opt", "mixtral", "stablelm"])
def test_lora_costs_what_torch_counts(architecture: str) -> None:
    composed = compose(model(architecture), fresh=True, kv=model("gpt2"))
    found = cost(composed.plan, shapes(composed), ASKED).lora
    made = model(architecture, dtype=torch.float32)
    adapted: Any = get_peft_model(made, LoraConfig(r=found.rank, target_modules=list(found.modules)))
    assert found.num_params == sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    step = lora_step(shapes(composed)["anchor"], ASKED, found.rank)
    assert trained(adapted.train(), rows=2) == (2 * step.forward, 2 * step.backward)


@pytest.mark.parametrize("architecture", ["gemma3", "gpt2", "mixtral", "opt"])
def test_fine_tuning_costs_what_torch_counts(architecture: str) -> None:
    made = model(architecture, dtype=torch.float32)
    composed = compose(model(architecture), fresh=True, kv=model("gpt2"))
    step = full_step(shapes(composed)["anchor"], ASKED)
    assert trained(made.train(), rows=2) == (2 * step.forward, 2 * step.backward)


def test_the_rank_of_lora_gives_as_many_parameters_as_the_bridges_as_nearly_as_it_can() -> None:
    composed = compose(model("llama"), fresh=True, kv=model("gpt2"))
    found = cost(composed.plan, shapes(composed), ASKED).lora
    bridges = sum(weight.numel() for _, weight in composed.trainable())
    assert abs(found.num_params - bridges) <= rank_params(shapes(composed)["anchor"]) / 2


def test_lora_is_as_large_as_the_bridges_that_run() -> None:
    small, large = model("gpt2", seed=1), model("llama", seed=2)
    one = compose(model("llama"), fresh=True, kv=small)
    two = compose(model("llama"), fresh=True, kv=small, more=(large, {"enabled": False}))
    both = compose(model("llama"), fresh=True, kv=small, more=large)
    sizes = [cost(each.plan, shapes(each), ASKED).lora.num_params for each in (one, two, both)]
    assert sizes[0] == sizes[1] < sizes[2]


def test_what_limits_a_text_is_told() -> None:
    composed = compose(
        model("llama"), kv=(model("gpt2"), {"context": "prompt"}), off=(model("opt"), {"enabled": False})
    )
    known = {name: replace(each, longest=PROMPT + 1) for name, each in shapes(composed).items()}
    assert cost(composed.plan, known, Asked(prompt_length=PROMPT, new_tokens=1)).notes == (
        "kv reads the prompt only: its cache grows with the prompt, and not with what is written.",
        "off does not run, and adds weights only.",
    )
    assert cost(composed.plan, known, Asked(prompt_length=PROMPT, new_tokens=2)).notes[2:] == (
        f"anchor has positions for {PROMPT + 1} tokens, and of these texts it would read {PROMPT + 2}.",
    )


def test_gradients_and_optimizer_are_those_of_what_is_trained() -> None:
    found = {each.kind: each for each in cost(ring(0).plan, shapes(ring(0)), ASKED).train}
    bridges = found["composition"]
    assert (bridges.gradient_bytes, bridges.optimizer_bytes) == (4 * bridges.trained_params, 8 * bridges.trained_params)
    assert found["tuned"].trained_params == ring(0).anchor.num_parameters()
    assert bridges.flops == bridges.forward_flops + bridges.backward_flops
