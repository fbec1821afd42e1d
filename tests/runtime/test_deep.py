"""Augments that feed augments: what holds of every composition holds at every depth."""

import itertools

import pytest
import torch

from tests.deep import KINDS, SHAPES, deep
from tests.tiny import LENGTH, WIDTHS, close, generate, ragged, stepped, tokens

every = pytest.mark.parametrize(("shape", "kind"), [*itertools.product(SHAPES, KINDS)])
shapes = pytest.mark.parametrize("shape", SHAPES)


@every
def test_fresh_bridges_are_silent_at_every_depth(shape: str, kind: str) -> None:
    composed = deep(shape, kind, fresh=True)
    ids, mask = ragged()
    with torch.no_grad():
        positions = (mask.cumsum(-1) - 1).clamp_min(0)
        alone = composed.anchor(ids, attention_mask=mask, position_ids=positions).logits
        assert torch.equal(composed(ids, attention_mask=mask).logits, alone)
        assert torch.equal(
            generate(composed, ids, attention_mask=mask), generate(composed.anchor, ids, attention_mask=mask)
        )


@every
def test_a_feeder_is_heard_through_whom_it_feeds(shape: str, kind: str) -> None:
    composed = deep(shape, kind)
    with torch.no_grad():
        whole = composed(tokens()).logits
        for name in SHAPES[shape]:
            with composed.ablate(name):
                assert (composed(tokens()).logits - whole).abs().max() > 1e-3, name


@every
def test_a_later_token_changes_nothing_before_it(shape: str, kind: str) -> None:
    composed, ids = deep(shape, kind), tokens()
    with torch.no_grad():
        whole = composed(ids).logits
        for place in range(1, LENGTH):
            other = ids.clone()
            other[:, place:] = tokens(seed=place)[:, place:]
            close(composed(other).logits[:, :place], whole[:, :place])


@every
@pytest.mark.parametrize("widths", WIDTHS)
def test_read_in_parts_is_read_at_once(shape: str, kind: str, widths: list[int]) -> None:
    composed = deep(shape, kind)
    ids, mask = ragged()
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask).logits
        parts, _ = stepped(composed, ids, mask, widths)
    close(parts[mask.bool()], whole[mask.bool()])


@every
def test_a_row_is_equal_alone_and_padded(shape: str, kind: str) -> None:
    composed = deep(shape, kind)
    ids, mask = ragged()
    with torch.no_grad():
        whole = composed(ids, attention_mask=mask).logits
        for row, keep in enumerate(mask.bool()):
            close(composed(ids[row : row + 1, keep]).logits[0], whole[row, keep])
