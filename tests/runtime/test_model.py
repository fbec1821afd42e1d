import copy
import re
from typing import Any

import pytest
import torch
from torch.nn import functional

import orchestra
from orchestra import ComposedModel, ComposeError
from tests.tiny import ARCHITECTURES, bridges, compose, generate, loud, model, ring, tokens, words

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)


def refusal(message: str) -> str:
    return f"^{re.escape(message)}$"


@rings
def test_the_loss_is_the_mean_cross_entropy_of_the_next_token(index: int) -> None:
    composed, labels = ring(index), tokens().clone()
    labels[0, :4] = -100
    with torch.no_grad():
        out = composed(tokens(), labels=labels)
    expected = functional.cross_entropy(out.logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
    torch.testing.assert_close(out.loss, expected, rtol=1e-6, atol=0)
    with torch.no_grad():
        halved = composed(tokens(), labels=labels, num_items_in_batch=torch.tensor(34)).loss
    torch.testing.assert_close(halved, expected * 17 / 34, rtol=1e-6, atol=0)


def test_a_tuple_is_returned_on_request() -> None:
    composed = ring(0)
    with torch.no_grad():
        loss, logits, cache = composed(tokens(), labels=tokens(), return_dict=False)
        assert torch.equal(logits, composed(tokens()).logits)
    assert loss.ndim == 0
    assert cache.get_seq_length() == 11


def test_input_without_ids_is_refused() -> None:
    composed = ring(0)
    message = "a composed model reads input_ids; inputs_embeds say nothing to its augments."
    for given in (
        {},
        {"inputs_embeds": torch.zeros(1, 2, 28)},
        {"input_ids": tokens(), "inputs_embeds": torch.zeros(1)},
    ):
        with pytest.raises(ComposeError, match=refusal(message)):
            composed(**given)


def test_a_cache_is_kept_when_evaluating_and_not_when_training() -> None:
    composed = ring(0)
    assert composed(tokens()).past_key_values is not None
    assert composed(tokens(), use_cache=False).past_key_values is None
    assert composed.train()(tokens()).past_key_values is None
    assert composed.train()(tokens(), use_cache=True).past_key_values is not None
    composed.train(False).config.use_cache = False
    assert composed(tokens()).past_key_values is None


def test_a_cache_that_is_given_is_used_even_where_none_is_asked_for() -> None:
    composed = ring(0)
    with torch.no_grad():
        whole = composed(tokens()).logits
        cache = composed(tokens()[:, :10]).past_key_values
        step = composed(tokens()[:, 10:], past_key_values=cache, use_cache=False)
    torch.testing.assert_close(step.logits, whole[:, 10:], rtol=0, atol=1e-9)


def test_gradient_checkpointing_refuses_a_cache() -> None:
    composed = ring(0)
    cache = composed(tokens()).past_key_values
    composed.train().gradient_checkpointing_enable()
    message = (
        "gradient checkpointing runs without a cache: drop past_key_values and use_cache, or call "
        "gradient_checkpointing_disable()."
    )
    for given in ({"use_cache": True}, {"past_key_values": cache}):
        with pytest.raises(ComposeError, match=refusal(message)):
            composed(tokens(2, 1), **given)


def test_toggles_switch_augments_for_a_block_and_lastingly() -> None:
    composed, seen = ring(0), []
    seen.append(composed.active)
    with composed.ablate("near"):
        seen.append(composed.active)
        with composed.only("near"):
            seen.append(composed.active)
        seen.append(composed.active)
    composed.disable("near", "far")
    seen.append(composed.active)
    composed.enable("far")
    seen.append(composed.active)
    assert seen == [("far", "near"), ("far",), ("near",), ("far",), (), ("far",)]


def test_an_augment_that_is_not_there_is_refused_by_name() -> None:
    composed = ring(0)
    message = refusal("no augment is called 'x'; this model has far, near.")
    calls = (composed.enable, composed.disable, composed.augment, composed.stack)
    for call in calls:
        with pytest.raises(ComposeError, match=message):
            call("x")
    for block in (composed.ablate("x"), composed.only("x")):
        with pytest.raises(ComposeError, match=message), block:
            pytest.fail("the block was entered")
    assert composed.active == ("far", "near")


def test_only_bridges_are_trainable() -> None:
    composed = ring(0)
    asked = {name for name, weight in composed.named_parameters() if weight.requires_grad}
    assert asked == {name for name, _ in composed.trainable()}
    assert asked
    assert all(name.startswith(("stacks.augment_near.", "stacks.augment_far.")) for name in asked)


def test_trainable_parameters_are_printed_with_a_shared_model_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    anchor = model("llama")
    compose(anchor, own=anchor).print_trainable_parameters()
    trained = 3 * (28 * 28 + 4 * 28**2 + 2 * 28 + 2 * 28 + 1)
    total = trained + sum(weight.numel() for weight in anchor.parameters())
    expected = f"trainable params: {trained:,} || all params: {total:,} || trainable%: {100 * trained / total:.4f}\n"
    assert capsys.readouterr().out == expected


def test_the_plan_counts_what_the_model_holds() -> None:
    composed = ring(3)
    for cost in composed.plan.costs:
        assert cost.bridge_params == sum(weight.numel() for weight in composed.stack(cost.augment).parameters())


def test_embeddings_device_and_dtype_are_the_anchor_s() -> None:
    composed = ring(0)
    assert composed.get_input_embeddings() is composed.anchor.get_input_embeddings()
    assert composed.get_output_embeddings() is composed.anchor.get_output_embeddings()
    assert composed.device == torch.device("cpu")
    assert composed.dtype == torch.float64


def test_a_model_says_what_it_is() -> None:
    composed = ring(0)
    composed.disable("near")
    assert repr(composed).splitlines()[:2] == [
        "ComposedModel(anchor=LlamaForCausalLM, active=['far'])",
        "anchor embedding <- far 0   (36 -> 28, 2 heads)",
    ]


def test_a_copy_runs_its_own_bridges_and_continues_no_cache_of_the_original() -> None:
    composed = ring(0)
    with torch.no_grad():
        before = composed(tokens())
        twin: Any = copy.deepcopy(composed)
        assert torch.equal(twin(tokens()).logits, before.logits)
        for bridge in bridges(twin):
            bridge.reset_parameters(0)
        assert torch.equal(composed(tokens()).logits, before.logits)
        assert torch.equal(twin(tokens()).logits, twin.anchor(tokens()).logits)
        assert twin.anchor is not composed.anchor
    with pytest.raises(ComposeError, match="another composed model"):
        twin(tokens(2, 1), past_key_values=before.past_key_values)


def test_models_of_several_dtypes_run_together() -> None:
    anchor, kv = model("llama", dtype=torch.float32), model("gpt2", seed=1, dtype=torch.bfloat16)
    composed = compose(anchor, torch.float32, kv=kv)
    with torch.no_grad():
        logits = composed(tokens()).logits
    assert logits.dtype == torch.float32
    assert (logits - anchor(tokens()).logits).abs().mean() > 0.1
    small = compose(model("llama", dtype=torch.bfloat16), torch.float32, kv=kv).train()
    out = small(tokens(), labels=tokens())
    out.loss.backward()
    assert out.logits.dtype == torch.bfloat16
    assert all(weight.grad.dtype == torch.float32 for _, weight in small.trainable() if weight.grad is not None)


def test_autocast_runs_forward_and_backward() -> None:
    composed = compose(
        model("llama", dtype=torch.float32), torch.float32, kv=model("gpt2", seed=1, dtype=torch.float32)
    ).train()
    exact = composed(tokens(), labels=tokens()).loss
    for recompute in (False, True):
        if recompute:
            composed.gradient_checkpointing_enable()
        with torch.autocast("cpu", torch.bfloat16):
            loss = composed(tokens(), labels=tokens()).loss
        loss.backward()
        torch.testing.assert_close(loss, exact, rtol=0.1, atol=0)


def test_a_tokenizer_given_is_kept() -> None:
    graph = {"format": "orchestra/graph@1", "anchor": {"model": "x"}, "augments": {"kv": {"model": "x"}}}
    models = {"anchor": model("llama"), "kv": model("gpt2")}
    tokenizer = words()
    composed = orchestra.load(graph, models=models, tokenizers={"anchor": tokenizer})
    assert composed.tokenizer is tokenizer
    assert orchestra.load(graph, models=models).tokenizer is None
    assert isinstance(composed, ComposedModel)


def test_the_default_bridge_of_the_paper_is_loud_once_trained() -> None:
    graph = {"format": "orchestra/graph@1", "anchor": {"model": "x"}, "augments": {"kv": {"model": "x"}}}
    composed = orchestra.load(graph, models={"anchor": model("llama"), "kv": model("gpt2", seed=1)})
    assert [str(site) for site in composed.plan.graph.sites] == ["anchor 2 <- kv 3   (36 -> 28, 2 heads)"]
    silent = generate(composed, tokens())
    assert torch.equal(silent, generate(composed.anchor, tokens()))
    assert not torch.equal(generate(loud(composed), tokens()), silent)
