"""What a graph costs."""

from dataclasses import replace

import pytest

from orchestra.graph import Site
from orchestra.nn.bridge import Bridge
from orchestra.plan import num_params
from tests.papers import DIGITS, KV, document, pair, plan


@pytest.mark.parametrize("variant", ["orchestra", "calm"])
@pytest.mark.parametrize("positions", ["rotary", "none"])
@pytest.mark.parametrize("gate", ["none", "scalar", "token"])
def test_the_parameters_of_a_bridge_are_those_of_the_module(gate: str, positions: str, variant: str) -> None:
    site = Site(
        augment="kv",
        augment_layer=1,
        anchor_layer=0,
        d_augment=7,
        d_anchor=22,
        num_heads=11,
        gate=gate,  # type: ignore[arg-type]
        positions=positions,  # type: ignore[arg-type]
        variant=variant,  # type: ignore[arg-type]
    )
    assert num_params(site) == sum(weight.numel() for weight in Bridge(site).parameters())


def test_an_augment_runs_up_to_its_highest_tapped_layer_and_no_further() -> None:
    planned = plan(document(kv={"bridges": {"pairs": [pair(0, 1), pair(1, 0)]}}, tetum={"enabled": False}))
    kv, tetum = planned.costs
    assert (kv.augment, kv.enabled, kv.layers_run, kv.num_layers, kv.num_bridges) == ("kv", True, 2, 3, 2)
    assert (tetum.augment, tetum.enabled, tetum.layers_run, tetum.num_layers) == ("tetum", False, 7, 7)


def test_switching_off_a_middle_model_stops_what_feeds_only_it() -> None:
    content = document(kv={"into": ["tetum"]}, self={"into": ["anchor", "tetum"]}, tetum={"enabled": False})
    found = plan(content, self=DIGITS).costs
    assert [(cost.augment, cost.enabled, cost.runs) for cost in found] == [
        ("kv", True, False),
        ("self", True, True),
        ("tetum", False, False),
    ]


def test_the_bytes_of_bridges_are_those_of_fp32() -> None:
    (cost,) = plan(document(kv={"bridges": {"every": 1}})).costs
    assert cost.bridge_params == 3 * num_params(plan(document()).graph.sites[0])
    assert cost.bridge_bytes == 4 * cost.bridge_params


def test_a_checkpoint_named_twice_is_counted_once() -> None:
    content = document(again={}, kv={}, self={}, unknown={})
    models = {"again": KV, "self": replace(DIGITS), "unknown": replace(KV, source="/other", weight_bytes=None)}
    costs = plan(content, **models).costs
    assert [(cost.augment, cost.weight_bytes) for cost in costs] == [
        ("again", 503),
        ("kv", 0),
        ("self", 0),
        ("unknown", None),
    ]


def test_a_plan_reads_aloud_site_by_site() -> None:
    assert str(plan(document(kv={"bridges": {"pairs": [pair(2, 3), pair(1, "embedding")]}}))) == (
        "anchor embedding <- kv 1   (14 -> 22, 11 heads)\nanchor 3 <- kv 2   (14 -> 22, 11 heads)"
    )
