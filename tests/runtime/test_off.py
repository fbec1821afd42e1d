"""Invariant 6: off costs nothing, no layer runs that nobody reads, and the originals are left as they were."""

import pytest
import torch
from torch import nn

from orchestra.runtime.view import layers_path
from tests.tiny import ARCHITECTURES, compose, generate, model, pair, ring, tokens, watching

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)


def layers(of: nn.Module, num_layers: int) -> list[nn.Module]:
    return list(of.get_submodule(".".join(layers_path(of, num_layers))).children())


@rings
def test_an_augment_that_is_off_is_not_run_and_neither_are_its_bridges(index: int) -> None:
    composed = ring(index)
    with composed.ablate("near"), watching() as runs, torch.no_grad():
        composed(tokens())
        generate(composed, tokens())
    assert runs(composed.augment("near")) == 0
    assert runs(composed.stack("near")) == 0
    assert runs(composed.augment("far")) == 6
    assert runs(composed.stack("far")) == 6


@rings
def test_an_augment_runs_up_to_its_highest_tap_and_without_its_head(index: int) -> None:
    composed = ring(index)
    with watching() as runs, torch.no_grad():
        composed(tokens())
    for node, cost in zip(composed.plan.graph.augments, composed.plan.costs, strict=True):
        augment = composed.augment(node.name)
        ran = [runs(layer) for layer in layers(augment, node.facts.num_layers)]
        assert cost.layers_run == 2
        assert ran == [1, 1] + [0] * (node.facts.num_layers - 2)
        head = augment.get_output_embeddings()
        if head.weight is not augment.get_input_embeddings().weight:
            assert runs(head) == 0
        else:  # one matrix for both: it was read once, as an embedding
            assert runs(head) == 1


def test_a_cached_step_reads_only_the_new_token() -> None:
    composed, widths = ring(0), []
    cache = composed(tokens()).past_key_values

    def note(_: nn.Module, args: tuple[torch.Tensor], __: object) -> None:
        if args and args[0].dtype == torch.long:
            widths.append(args[0].shape[-1])

    handle = torch.nn.modules.module.register_module_forward_hook(note)
    composed(tokens(2, 1), past_key_values=cache)
    handle.remove()
    assert set(widths) == {1}


@rings
def test_composing_and_running_leaves_the_models_as_they_were(index: int) -> None:
    parts = {
        "anchor": ARCHITECTURES[index],
        "near": ARCHITECTURES[(index + 1) % 8],
        "far": ARCHITECTURES[(index + 3) % 8],
    }
    models = {name: model(kind) for name, kind in parts.items()}
    before = {name: (str(it), list(it.state_dict()), hooks(it), attributes(it)) for name, it in models.items()}
    composed = compose(models["anchor"], near=models["near"], far=models["far"])
    composed(tokens(), output_hidden_states=True)
    generate(composed, tokens())
    after = {name: (str(it), list(it.state_dict()), hooks(it), attributes(it)) for name, it in models.items()}
    assert after == before


def hooks(of: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in of.modules())


def attributes(of: nn.Module) -> list[list[str]]:
    return [sorted(vars(module)) for module in of.modules()]


def test_a_view_shares_every_weight_and_costs_no_memory() -> None:
    anchor = model("llama")
    composed = compose(anchor, kv=anchor)
    with torch.no_grad():
        before = composed(tokens()).logits
        next(anchor.parameters()).mul_(0.5)  # seen at once: the view holds no copy
        assert not torch.equal(composed(tokens()).logits, before)
        nn.Module.to(anchor, torch.float32)
        assert composed(tokens()).logits.dtype == torch.float32


def test_recording_attentions_on_a_composition_records_nothing_twice_on_its_anchor() -> None:
    anchor = model("llama")
    anchor.set_attn_implementation("eager")
    composed, other = (compose(anchor, kv=model("gpt2", seed=seed)) for seed in (1, 2))
    with torch.no_grad():
        for which in (anchor, composed, other, anchor):
            assert len(which(tokens(), output_attentions=True).attentions) == 3


def test_a_disabled_augment_stays_off_from_the_start() -> None:
    composed = compose(model("llama"), kv=(model("gpt2", seed=1), {"enabled": False}))
    with watching() as runs, torch.no_grad():
        assert torch.equal(composed(tokens()).logits, composed.anchor(tokens()).logits)
    assert runs(composed.augment("kv")) == 0


def test_the_highest_tap_decides_and_not_the_order_of_pairs() -> None:
    fields = {"bridges": {"pairs": [pair(2, 0), pair(0, 1)]}}
    composed = compose(model("llama"), kv=(model("gpt2", seed=1), fields))
    with watching() as runs, torch.no_grad():
        composed(tokens())
    assert [runs(layer) for layer in layers(composed.augment("kv"), 4)] == [1, 1, 1, 0]
