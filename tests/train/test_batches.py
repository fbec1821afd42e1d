"""Which records are read when: the same at every step, however the step is laid out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orchestra.train.batches import NO_LOSS, PADDING, EpochBatches, Examples, collate, steps_per_epoch
from orchestra.train.encode import Example

EXAMPLES = (Example(ids=(1, 5, 7, 2), num_prompt=2), Example(ids=(1, 3, 2), num_prompt=0))


def steps(num_examples: int, *, batch_size: int, accumulation: int, world_size: int, epoch: int) -> list[list[int]]:
    """The records of each step, over all processes."""
    shares = []
    for rank in range(world_size):
        batches = EpochBatches(
            num_examples,
            batch_size=batch_size,
            accumulation=accumulation,
            rank=rank,
            world_size=world_size,
            seed=11,
        )
        batches.set_epoch(epoch)
        shares.append(list(batches))
        assert len(shares[-1]) == len(batches)
        assert all(len(batch) == batch_size for batch in batches)
    count = len(shares[0]) // accumulation
    assert count == steps_per_epoch(num_examples, batch_size * accumulation * world_size)
    taken = [range(step * accumulation, (step + 1) * accumulation) for step in range(count)]
    return [sorted(i for share in shares for index in some for i in share[index]) for some in taken]


@given(num_examples=st.integers(1, 41), epoch=st.integers(0, 3))
def test_a_step_holds_the_same_records_however_it_is_laid_out(num_examples: int, epoch: int) -> None:
    whole = steps(num_examples, batch_size=8, accumulation=1, world_size=1, epoch=epoch)
    assert steps(num_examples, batch_size=2, accumulation=4, world_size=1, epoch=epoch) == whole
    assert steps(num_examples, batch_size=4, accumulation=1, world_size=2, epoch=epoch) == whole
    assert steps(num_examples, batch_size=1, accumulation=2, world_size=4, epoch=epoch) == whole


@given(num_examples=st.integers(1, 41), epoch=st.integers(0, 3))
def test_an_epoch_holds_every_record_once(num_examples: int, epoch: int) -> None:
    whole = steps(num_examples, batch_size=3, accumulation=2, world_size=1, epoch=epoch)
    assert sorted(i for step in whole for i in step if i != PADDING) == list(range(num_examples))


def test_epochs_differ_in_order_and_seeds_repeat_it() -> None:
    first = steps(29, batch_size=4, accumulation=1, world_size=1, epoch=0)
    assert first == steps(29, batch_size=4, accumulation=1, world_size=1, epoch=0)
    assert first != steps(29, batch_size=4, accumulation=1, world_size=1, epoch=1)


def test_the_order_does_not_touch_the_random_numbers_of_the_process() -> None:
    before = torch.get_rng_state()
    steps(29, batch_size=4, accumulation=1, world_size=1, epoch=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_is_padded_on_the_right_and_prompts_carry_no_loss() -> None:
    batch = collate(EXAMPLES, pad_id=9)
    assert batch["input_ids"].tolist() == [[1, 5, 7, 2], [1, 3, 2, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["labels"].tolist() == [[NO_LOSS, NO_LOSS, 7, 2], [1, 3, 2, NO_LOSS]]


@pytest.mark.parametrize("size", [1, 3])
def test_padding_records_carry_no_loss_and_hide_nothing(size: int) -> None:
    examples = Examples(EXAMPLES)
    batch = collate([examples[PADDING]] * size, pad_id=9)
    assert (batch["labels"] == NO_LOSS).all()
    assert (batch["attention_mask"] == 1).all()
    assert len(examples) == 2
