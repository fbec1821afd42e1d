import re

import pytest
import torch

from orchestra import ComposeError
from orchestra.runtime.align import align, check_positions, full_mask
from tests.tiny import compose, model, tokens

BATCH, PAST, NEW = 2, 3, 5


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
    assert alignment.mask.shape == (BATCH, NEW, PAST + NEW)
    whole = align(tokens(BATCH, PAST + NEW), valid).mask
    assert alignment.mask.equal(whole[:, PAST:])


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
