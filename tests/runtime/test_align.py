import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from orchestra import ComposeError
from orchestra.runtime.align import Alignment, align, align_prompt, check_positions, full_mask
from tests.tiny import compose, model, tokens

BATCH, PAST, NEW = 2, 3, 5


def mask(alignment: Alignment) -> Tensor:
    """Where its anchor tokens may look, where there is something to say."""
    assert alignment.mask is not None
    return alignment.mask


def test_an_augment_reads_the_anchor_s_tokens_at_their_own_places() -> None:
    ids = tokens(BATCH, NEW)
    valid = torch.ones(BATCH, PAST + NEW, dtype=torch.long)
    valid[1, :2] = 0
    alignment = align(ids, valid)
    assert alignment.ids.equal(ids)
    assert alignment.valid.equal(valid)
    expected = torch.tensor([[3, 4, 5, 6, 7], [1, 2, 3, 4, 5]])
    for index in (alignment.position, alignment.committed, alignment.query_position):
        assert index.equal(expected)
    assert mask(alignment).shape == (BATCH, NEW, PAST + NEW)
    whole = mask(align(tokens(BATCH, PAST + NEW), valid))
    assert mask(alignment).equal(whole[:, PAST:])


def test_an_augment_that_reads_the_prompt_only_gets_its_tokens_and_is_seen_from_then_on() -> None:
    ids, valid, lengths = tokens(2, 7), torch.ones(2, 7, dtype=torch.long), torch.tensor([3, 2])
    valid[0, 0] = 0
    alignment = align_prompt(ids, valid, lengths, 0)
    assert alignment.ids.equal(ids[:, :4])
    assert alignment.valid.tolist() == [[0, 1, 1, 1], [1, 1, 0, 0]]
    assert alignment.position.tolist() == alignment.committed.tolist() == [[0, 0, 1, 2], [0, 1, 1, 1]]
    assert alignment.query_position.tolist() == [[0, 0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6]]
    seen = [[0, 1, 2, 3, 3, 3, 3], [1, 2, 2, 2, 2, 2, 2]]
    assert mask(alignment).sum(-1).tolist() == seen
    assert not mask(alignment)[0, :, 0].any()
    assert not mask(alignment)[1, :, 2:].any()


@given(st.data())
def test_a_prompt_that_comes_in_parts_is_read_once_and_seen_as_if_it_had_come_at_once(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 7))
    cells = st.lists(st.lists(st.integers(0, 1), min_size=columns, max_size=columns), min_size=rows, max_size=rows)
    valid = torch.tensor(data.draw(cells))
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, 8), min_size=rows, max_size=rows)))
    cuts = sorted({*data.draw(st.lists(st.integers(1, columns), max_size=3)), columns})
    ids, held, past, read, masks = tokens(rows, columns), 0, 0, [], []
    for cut in cuts:
        part = align_prompt(ids[:, past:cut], valid[:, :cut], lengths, held)
        assert part.position.equal(part.committed)
        held, past = held + part.ids.shape[1], cut
        assert part.valid.shape[1] == mask(part).shape[2] == held <= cut
        assert part.valid[:, held - part.ids.shape[1] :].any(0)[-1:].all()  # it never reads on past the last prompt
        read.append(part.ids)
        masks.append(functional.pad(mask(part), (0, columns - held)))
    count = valid.cumsum(-1)
    prompt = valid.bool() & (count <= lengths[:, None])
    assert torch.cat(read, 1).masked_fill(~prompt[:, :held], 0).equal((ids * prompt)[:, :held])
    assert held == int(prompt.any(0).nonzero().max() + 1 if prompt.any() else 0)
    for row in range(rows):
        for query in range(columns):
            seen = [bool(valid[row, query] and prompt[row, key] and key <= query) for key in range(columns)]
            assert torch.cat(masks, 1)[row, query].tolist() == seen


def test_a_mask_that_is_not_given_is_all_ones() -> None:
    assert full_mask(tokens(BATCH, NEW), None, PAST).equal(torch.ones(BATCH, PAST + NEW, dtype=torch.long))


def test_a_mask_of_booleans_is_a_mask() -> None:
    mask = torch.rand(BATCH, PAST + NEW, generator=torch.Generator().manual_seed(0)) > 0.5
    assert full_mask(tokens(BATCH, NEW), mask, PAST).equal(mask.long())


@pytest.mark.parametrize("shape", [(2, 5), (1, 8), (2, 1, 5, 8)])
def test_a_mask_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    message = f"attention_mask has shape {shape}; for 3 cached and 5 new tokens it must be (2, 8)."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        full_mask(tokens(BATCH, NEW), torch.ones(shape), PAST)


PACKED = (
    "position_ids do not count the tokens of the mask; a composed model reads one text per row, from its start: "
    "pack no texts, and drop the argument."
)


def test_positions_that_count_the_mask_are_taken_whatever_they_say_at_padding() -> None:
    valid = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]])
    check_positions(None, valid)
    check_positions(torch.tensor([[1, 1, 0, 1, 2], [0, 1, 2, 3, 77]]), valid)
    check_positions(torch.tensor([[1, 2], [3, 4]]), valid)
    check_positions(torch.tensor([[1, 2, 3]]), torch.ones(2, 4, dtype=torch.long))


def test_packed_texts_are_refused() -> None:
    composed = compose(model("llama"), kv=model("gpt2", seed=1))
    packed = torch.tensor([[0, 1, 2, 0, 1]])
    with pytest.raises(ComposeError, match=f"^{re.escape(PACKED)}$"):
        composed(tokens(1, 5), position_ids=packed)
    with composed.only():  # an anchor by itself may read what it likes
        expected = composed.anchor(tokens(1, 5), position_ids=packed).logits
        assert torch.equal(composed(tokens(1, 5), position_ids=packed).logits, expected)


def test_padding_is_known_wherever_it_is() -> None:
    ids, valid = tokens(BATCH, NEW), torch.ones(BATCH, PAST + NEW, dtype=torch.long)
    whole = align(ids, valid)
    assert not whole.padded
    assert whole.padding is None
    assert whole.query_places is whole.places
    assert align(ids[:, :1], valid).sight.added(torch.float32) is None
    assert not align(ids[:, :1], valid).sight.causal
    assert align(tokens(BATCH, PAST + NEW), valid).sight.causal
    assert not whole.sight.causal
    valid[1, 1] = valid[0, 7] = 0
    some = align(ids, valid)
    assert some.padded
    assert some.padding is not None
    assert some.padding.squeeze(-1).nonzero().tolist() == [[0, 4]]
    assert not align(tokens(BATCH, PAST + NEW), valid).sight.causal
