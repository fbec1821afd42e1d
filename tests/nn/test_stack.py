from dataclasses import replace

import pytest
import torch

from orchestra.graph import Site
from orchestra.nn.bridge import Bridge
from orchestra.nn.stack import Stack

FIRST = Site(augment="kv", augment_layer=2, anchor_layer="embedding", d_augment=5, d_anchor=14, num_heads=7)
SITES = (FIRST, replace(FIRST, augment_layer=1, anchor_layer=3))


def test_a_stack_holds_a_bridge_per_site_under_its_key() -> None:
    stack = Stack(SITES)
    assert list(stack) == ["anchor_embedding_from_2", "anchor_3_from_1"]
    assert [bridge.site for bridge in stack.bridges()] == list(SITES)
    assert stack.bridge(SITES[1]) is stack["anchor_3_from_1"]


def test_fresh_weights_depend_on_the_site_and_the_seed_and_not_on_the_order() -> None:
    one, other = Stack(SITES), Stack(reversed(SITES))
    for key, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[key]), key
    assert not torch.equal(one.bridge(SITES[0]).proj.weight, one.bridge(SITES[1]).proj.weight)
    assert not torch.equal(one.bridge(SITES[0]).proj.weight, Stack(SITES, seed=1).bridge(SITES[0]).proj.weight)


def test_making_a_stack_leaves_the_global_seed_alone() -> None:
    before = torch.get_rng_state()
    Stack(SITES)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stack_without_a_seed_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bridge, "reset_parameters", lambda *_: pytest.fail("weights were drawn"))
    shapes = {name: weight.shape for name, weight in Stack(SITES, seed=None).state_dict().items()}
    monkeypatch.undo()
    assert shapes == {name: weight.shape for name, weight in Stack(SITES).state_dict().items()}
