import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from orchestra.graph import Site
from orchestra.nn.bridge import LOCAL_BIAS, Bridge
from orchestra.nn.mask import Places, Sight
from orchestra.plan import num_params

BATCH, ANCHOR_SEQ, AUGMENT_SEQ, D_AUGMENT, HEADS, D_HEAD = 2, 3, 5, 7, 11, 2
D_ANCHOR = HEADS * D_HEAD
SITE = Site(augment="kv", augment_layer=1, anchor_layer=0, d_augment=D_AUGMENT, d_anchor=D_ANCHOR, num_heads=HEADS)
KINDS = {
    "scalar": SITE,
    "token": replace(SITE, gate="token"),
    "none": replace(SITE, gate="none"),
    "no positions": replace(SITE, positions="none"),
    "calm": replace(SITE, variant="calm", gate="none", positions="none"),
}
every_kind = pytest.mark.parametrize("site", KINDS.values(), ids=KINDS)


def loud(site: Site, dtype: torch.dtype = torch.float64) -> Bridge:
    bridge = Bridge(site).to(dtype)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in bridge.parameters():
            weight.copy_(torch.randn(weight.shape, generator=noise) * 0.5)
    return bridge


class Inputs:
    """Random states, and a mask that is causal over positions of uneven steps."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        noise = torch.Generator().manual_seed(1)
        self.hidden = torch.randn(BATCH, ANCHOR_SEQ, D_ANCHOR, generator=noise, dtype=torch.float64).to(dtype)
        self.context = torch.randn(BATCH, AUGMENT_SEQ, D_AUGMENT, generator=noise, dtype=torch.float64).to(dtype)
        self.position = torch.tensor([[0, 1, 4], [2, 3, 5]])
        self.committed = torch.tensor([[0, 0, 1, 3, 4], [0, 1, 2, 2, 5]])
        self.mask = self.committed[:, None, :] <= self.position[:, :, None]

    def run(self, bridge: Bridge) -> Tensor:
        read = bridge.read(self.context, Places(self.committed))
        residual: Tensor = bridge(self.hidden, read, Sight(self.mask), Places(self.position))
        return residual


def normed(state: Tensor, weight: Tensor) -> Tensor:
    return state / (state.square().mean() + 1e-6).sqrt() * weight


def turned(head: Tensor, place: int) -> Tensor:
    out = head.clone()
    half = len(head) // 2
    for i in range(half):
        angle = place * 10_000.0 ** (-2 * i / len(head))
        out[i] = head[i] * math.cos(angle) - head[i + half] * math.sin(angle)
        out[i + half] = head[i + half] * math.cos(angle) + head[i] * math.sin(angle)
    return out


def by_hand(bridge: Bridge, given: Inputs, row: int, query: int) -> Tensor:
    """The equation in the class's docstring for one token, a head and a key at a time."""
    site, weights = bridge.site, dict(bridge.named_parameters())
    own = site.variant == "orchestra"
    h = normed(given.hidden[row, query], weights["norm_hidden.weight"]) if own else given.hidden[row, query]
    rotates = site.positions == "rotary"
    q = weights["query.weight"] @ h + (weights["query.bias"] if rotates else 0)
    heads = []
    for head in range(HEADS):
        part = slice(head * D_HEAD, (head + 1) * D_HEAD)
        scores, values = [], []
        for place in range(AUGMENT_SEQ):
            if not given.mask[row, query, place]:
                continue
            c = given.context[row, place]
            p = weights["proj.weight"] @ (normed(c, weights["norm_context.weight"]) if own else c)
            k = weights["key.weight"] @ p + (weights["key.bias"] if rotates else 0)
            q_head, k_head = q[part], k[part]
            if rotates:
                q_head = turned(q_head, int(given.position[row, query]))
                k_head = turned(k_head, int(given.committed[row, place]))
            scores.append(q_head @ k_head / math.sqrt(D_HEAD))
            values.append((weights["value.weight"] @ p)[part])
        shares = torch.stack(scores).softmax(0)
        heads.append(sum(share * value for share, value in zip(shares, values, strict=True)))
    gate = {
        "none": lambda: torch.ones(()),
        "scalar": lambda: torch.tanh(weights["gate"]),
        "token": lambda: torch.sigmoid(weights["gate_map.weight"] @ h + weights["gate_map.bias"]),
    }[site.gate]()
    return gate * (weights["out.weight"] @ torch.cat([torch.as_tensor(head) for head in heads]))


@every_kind
def test_a_bridge_computes_its_equation(site: Site) -> None:
    bridge, given = loud(site), Inputs()
    residual = given.run(bridge)
    assert residual.abs().mean() > 0.01
    for row in range(BATCH):
        for query in range(ANCHOR_SEQ):
            torch.testing.assert_close(residual[row, query], by_hand(bridge, given, row, query), rtol=0, atol=1e-5)


@every_kind
def test_a_fresh_bridge_adds_exactly_nothing_and_yet_can_learn(site: Site) -> None:
    bridge, given = Bridge(site), Inputs(torch.float32)
    residual = given.run(bridge)
    assert not residual.any()
    residual.sum().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in bridge.parameters())


@every_kind
def test_a_bridge_that_is_reset_is_fresh(site: Site) -> None:
    bridge, fresh = loud(site), Bridge(site).double()
    bridge.reset_parameters(0)
    for name, weight in fresh.state_dict().items():
        assert torch.equal(bridge.state_dict()[name], weight), name


@every_kind
def test_the_plan_counts_the_parameters_of_the_real_module(site: Site) -> None:
    assert num_params(site) == sum(weight.numel() for weight in Bridge(site).parameters())


@every_kind
def test_a_masked_place_cannot_be_seen(site: Site) -> None:
    bridge, given = loud(site), Inputs()
    given.mask[:, :, -1] = False
    before = given.run(bridge)
    given.context[:, -1] = 1e4
    assert torch.equal(given.run(bridge), before)


@every_kind
def test_a_query_that_may_look_nowhere_gets_exact_zeros_and_finite_gradients(site: Site) -> None:
    bridge, given = loud(site), Inputs()
    given.mask[0, 1] = False
    given.hidden.requires_grad_()
    residual = given.run(bridge)
    assert not residual[0, 1].any()
    assert residual[0, 0].all()
    residual.square().sum().backward()
    assert given.hidden.grad is not None
    assert not given.hidden.grad[0, 1].any()
    for tensor in (given.hidden, *bridge.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


@every_kind
def test_nan_at_a_place_that_looks_nowhere_reaches_no_residual_and_no_gradient(site: Site) -> None:
    bridge, given = loud(site), Inputs()
    given.mask[0, 1] = False
    given.hidden[0, 1] = float("nan")
    residual = given.run(bridge)
    assert residual.isfinite().all()
    residual.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in bridge.parameters())


def test_a_batch_in_which_no_query_may_look_trains_without_nan() -> None:
    bridge, given = loud(SITE), Inputs()
    given.mask[:] = False
    residual = given.run(bridge)
    assert not residual.any()
    residual.sum().backward()
    assert all(weight.grad is None or not weight.grad.any() for weight in bridge.parameters())


def test_rotary_bridges_see_distances_and_not_places() -> None:
    bridge, given = loud(SITE), Inputs()
    before = given.run(bridge)
    given.position, given.committed = given.position + 7, given.committed + 7
    torch.testing.assert_close(given.run(bridge), before, rtol=0, atol=1e-5)
    given.committed = given.committed - 7
    assert (given.run(bridge) - before).abs().max() > 1e-3


def test_without_positions_places_change_nothing() -> None:
    bridge, given = loud(KINDS["no positions"]), Inputs()
    before = given.run(bridge)
    given.position, given.committed = given.position + 7, given.committed * 3
    assert torch.equal(given.run(bridge), before)


def test_a_fresh_bridge_with_positions_looks_at_its_own_place_first() -> None:
    bridge = Bridge(replace(SITE, num_heads=1))
    same = torch.zeros(1, 23, D_ANCHOR)
    queries, keys = (Places(torch.arange(23)[None]).turn(bridge._heads(of(same))) for of in (bridge.query, bridge.key))
    scores = (queries @ keys.transpose(-1, -2))[0, 0]
    assert scores.argmax(-1).tolist() == list(range(23))
    assert bridge.query.bias is not None
    assert bridge.query.bias.unique().tolist() == [LOCAL_BIAS]


@pytest.mark.parametrize("seed", range(5))
def test_a_fresh_bridge_looks_at_its_own_place_whatever_stands_there(seed: int) -> None:
    bridge = Bridge(replace(SITE, d_anchor=61 * 2, d_augment=59, num_heads=1), seed=seed)
    noise = torch.Generator().manual_seed(seed)
    places, hidden = Places(torch.arange(23)[None]), torch.randn(1, 23, 61 * 2, generator=noise)
    keys = bridge.read(torch.randn(1, 23, 59, generator=noise), places).keys
    queries = bridge._rotate(bridge._heads(bridge.query(bridge.norm_hidden(hidden))), places)
    assert (queries @ keys.transpose(-1, -2))[0, 0].argmax(-1).tolist() == list(range(23))


def test_inputs_of_other_dtypes_are_read_in_the_bridge_s_own() -> None:
    bridge, given = loud(SITE, torch.float32), Inputs(torch.bfloat16)
    assert given.run(bridge).dtype == torch.float32


def test_the_token_gate_starts_half_open_and_is_one_number_per_token() -> None:
    bridge = Bridge(KINDS["token"])
    gate = bridge.gate_of(torch.randn(BATCH, ANCHOR_SEQ, D_ANCHOR))
    assert gate.shape == (BATCH, ANCHOR_SEQ, 1)
    assert gate.unique().tolist() == [0.5]


@every_kind
def test_a_causal_sight_is_the_mask_that_it_stands_for(site: Site) -> None:
    bridge, given = loud(site), Inputs()
    read = bridge.read(given.context[:, :ANCHOR_SEQ], Places(given.position))
    mask = torch.ones(BATCH, ANCHOR_SEQ, ANCHOR_SEQ, dtype=torch.bool).tril()
    one, other = (
        bridge(given.hidden, read, each, Places(given.position)) for each in (Sight(mask), Sight(causal=True))
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@every_kind
def test_folded_maps_read_what_the_projection_and_they_read(site: Site) -> None:
    bridge, given = loud(site), Inputs()
    folded = bridge.fold()
    assert folded is not None
    assert folded.weight.shape == (2 * D_ANCHOR, D_AUGMENT)
    plain, one = (bridge.read(given.context, Places(given.committed), each) for each in (None, folded))
    torch.testing.assert_close(one.keys, plain.keys, rtol=0, atol=1e-12)
    torch.testing.assert_close(one.values, plain.values, rtol=0, atol=1e-12)


def test_maps_are_folded_only_where_that_saves_products() -> None:
    for width, saves in ((2 * D_ANCHOR - 1, True), (2 * D_ANCHOR, False)):
        assert (Bridge(replace(SITE, d_augment=width)).fold() is not None) == saves
