"""Invariant 3: a row is equal alone, left-padded in a batch, and right-padded."""

import pytest
import torch
from torch import Tensor

from tests.tiny import ARCHITECTURES, LENGTH, ring, tokens

rings = pytest.mark.parametrize("index", range(8), ids=ARCHITECTURES)
SHORT = 6


def padded(side: str) -> tuple[Tensor, Tensor, slice]:
    """A batch whose second row is short, its mask, and where that row stands."""
    ids, mask = tokens(), torch.ones(2, LENGTH, dtype=torch.long)
    where = slice(LENGTH - SHORT, None) if side == "left" else slice(0, SHORT)
    row = torch.zeros(LENGTH, dtype=torch.long)
    row[where] = ids[1, :SHORT]
    ids[1] = row
    mask[1] = 0
    mask[1, where] = 1
    return ids, mask, where


@rings
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_row_is_equal_alone_and_padded(index: int, side: str) -> None:
    composed, (ids, mask, where) = ring(index), padded(side)
    with torch.no_grad():
        batch = composed(ids, attention_mask=mask).logits
        short, long = composed(tokens()[1:, :SHORT]).logits[0], composed(tokens()[:1]).logits[0]
    torch.testing.assert_close(batch[1, where], short, rtol=0, atol=1e-9)
    torch.testing.assert_close(batch[0], long, rtol=0, atol=1e-9)


@rings
def test_what_stands_in_the_padding_changes_nothing(index: int) -> None:
    composed, (ids, mask, where) = ring(index), padded("left")
    other = ids.clone()
    other[1, : LENGTH - SHORT] = 13
    with torch.no_grad():
        one = composed(ids, attention_mask=mask).logits[1, where]
        two = composed(other, attention_mask=mask).logits[1, where]
    torch.testing.assert_close(one, two, rtol=0, atol=1e-9)


@rings
def test_a_padded_batch_trains_with_finite_gradients_that_padding_does_not_touch(index: int) -> None:
    composed, (ids, mask, where) = ring(index).train(), padded("left")
    labels = ids.masked_fill(mask == 0, -100)
    labels[0], labels[1, where.start] = -100, -100  # no padding predicts the first token
    composed(ids, attention_mask=mask, labels=labels).loss.backward()
    batch = {name: weight.grad.clone() for name, weight in composed.trainable() if weight.grad is not None}
    composed.zero_grad()
    alone = ids[1:, where]
    composed(alone, labels=alone).loss.backward()
    for name, weight in composed.trainable():
        assert batch[name].isfinite().all()
        # A text without padding takes another kernel, and gemma3 rounds what it says to fp32.
        torch.testing.assert_close(batch[name], weight.grad, rtol=0, atol=1e-8)
