import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orchestra.nn.mask import Places, Sight, positions, rotary, visible

BATCH, HEADS, SEQ, D_HEAD = 2, 3, 5, 14

validity = st.integers(1, 7).flatmap(
    lambda length: st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=3)
)


@given(validity)
def test_positions_count_the_tokens_before_and_skip_padding(valid: list[list[bool]]) -> None:
    found = positions(torch.tensor(valid))
    for row, row_valid in zip(found.tolist(), valid, strict=True):
        assert row == [max(0, sum(row_valid[: place + 1]) - 1) for place in range(len(row_valid))]


@given(st.data())
def test_a_query_sees_exactly_the_valid_keys_committed_at_or_before_itself(data: st.DataObject) -> None:
    queries, keys = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 7))
    places, flags = st.integers(0, 6), st.booleans()
    query_position = data.draw(st.lists(places, min_size=queries, max_size=queries))
    query_valid = data.draw(st.lists(flags, min_size=queries, max_size=queries))
    key_position = data.draw(st.lists(places, min_size=keys, max_size=keys))
    key_valid = data.draw(st.lists(flags, min_size=keys, max_size=keys))
    mask = visible(
        query_position=torch.tensor([query_position]),
        query_valid=torch.tensor([query_valid]),
        key_position=torch.tensor([key_position]),
        key_valid=torch.tensor([key_valid]),
    )
    for q in range(queries):
        for k in range(keys):
            seen = query_valid[q] and key_valid[k] and key_position[k] <= query_position[q]
            assert mask[0, q, k].item() is seen


def test_rows_do_not_see_each_other() -> None:
    index = torch.arange(SEQ)[None].expand(2, SEQ)
    valid = torch.tensor([[True] * SEQ, [False] * SEQ])
    mask = visible(query_position=index, query_valid=valid, key_position=index, key_valid=valid)
    assert mask[0].equal(torch.ones(SEQ, SEQ, dtype=torch.bool).tril())
    assert not mask[1].any()


def rotate(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    cosines, sines = rotary(index, D_HEAD, dtype=states.dtype)
    first, second = states.chunk(2, dim=-1)
    return states * cosines + torch.cat([-second, first], dim=-1) * sines


@pytest.mark.parametrize("shift", [1, 11, 64])
def test_rotary_scores_depend_on_the_distance_alone(shift: int) -> None:
    noise = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(2, BATCH, HEADS, SEQ, D_HEAD, generator=noise, dtype=torch.float64)
    index = torch.randint(0, 23, (BATCH, SEQ), generator=noise)

    def scores(by: int) -> torch.Tensor:
        return rotate(queries, index + by) @ rotate(keys, index + by).transpose(-1, -2)

    torch.testing.assert_close(scores(shift), scores(0), rtol=0, atol=1e-4)  # angles are taken in fp32
    moved = rotate(queries, index + shift) @ rotate(keys, index).transpose(-1, -2)
    assert (moved - scores(0)).abs().max() > 0.1


def test_rotary_leaves_position_zero_as_it_is_and_keeps_lengths() -> None:
    states = torch.randn(BATCH, HEADS, SEQ, D_HEAD, generator=torch.Generator().manual_seed(0))
    assert rotate(states, torch.zeros(BATCH, SEQ, dtype=torch.long)).equal(states)
    turned = rotate(states, torch.arange(SEQ).expand(BATCH, SEQ))
    torch.testing.assert_close(turned.norm(dim=-1), states.norm(dim=-1))


def test_places_turn_states_as_the_tables_say() -> None:
    index = torch.randint(0, 23, (BATCH, SEQ), generator=torch.Generator().manual_seed(0))
    states = torch.randn(BATCH, HEADS, SEQ, D_HEAD, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    places = Places(index)
    for _ in range(2):  # built, and remembered
        torch.testing.assert_close(places.turn(states), rotate(states, index), rtol=0, atol=1e-14)
    narrow = states[..., : D_HEAD - 4].float()  # heads of another width, in another dtype, at the same places
    cosines, sines = rotary(index, D_HEAD - 4, dtype=torch.float32)
    first, second = narrow.chunk(2, dim=-1)
    expected = narrow * cosines + torch.cat([-second, first], dim=-1) * sines
    torch.testing.assert_close(places.turn(narrow), expected, rtol=0, atol=1e-6)


def test_where_everything_is_seen_attention_gets_no_mask() -> None:
    sight = Sight(torch.ones(BATCH, 1, SEQ, dtype=torch.bool))
    assert sight.nowhere is None
    assert sight.added(torch.float32) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_what_may_not_be_seen_weighs_nothing(dtype: torch.dtype) -> None:
    mask = torch.rand(BATCH, 3, SEQ, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[..., 0] = True
    sight = Sight(mask)
    assert sight.nowhere is None
    added = sight.added(dtype)
    assert added is not None
    assert added.dtype == dtype
    assert added.eq(0).equal(mask[:, None])
    assert added.isneginf().equal(~mask[:, None])
    assert sight.added(dtype) is added


def test_a_query_that_may_look_nowhere_is_known_and_looks_everywhere() -> None:
    mask = torch.ones(BATCH, 3, SEQ, dtype=torch.bool).tril()
    mask[1, 2] = False
    sight = Sight(mask)
    assert sight.nowhere is not None
    assert sight.nowhere.squeeze(-1).nonzero().tolist() == [[1, 2]]
    added = sight.added(torch.float64)
    assert added is not None
    assert added[1, 0, 2].eq(0).all()
    assert added[1, 0, 1].isneginf().tolist() == [False, False, True, True, True]
