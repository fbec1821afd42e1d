from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from orchestra.lab.contest.records import Batch
from orchestra.lab.contest.training import Settings, fit, loss, mean_loss

VOCABULARY = 11


def batch(seed: int) -> Batch:
    """Two rows of five tokens, of which the last two, and the last one, are learnt."""
    ids = torch.randint(VOCABULARY, (2, 5), generator=torch.Generator().manual_seed(seed))
    learnt = ids[:, -2:].clone()
    learnt[1, 0] = -100
    return Batch(ids=ids, valid=torch.ones_like(ids), prompt_length=torch.tensor([3, 4]), learnt=learnt)


class Toy(nn.Module):
    """Tells the next token by the last one alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(VOCABULARY, VOCABULARY)

    def forward(self, _number: int, batch: Batch) -> Tensor:
        told: Tensor = self.table(batch.ids[:, -3:])
        return told


BATCHES = [batch(seed) for seed in range(7)]
SETTINGS = Settings(epochs=3, rate=0.1, save_every=5)


def test_the_loss_is_over_what_is_learnt_and_nothing_else() -> None:
    toy, some = Toy(), batch(0)
    told = toy.table(some.ids[:, :-1]).log_softmax(-1).detach()
    places = [(0, 2), (0, 3), (1, 3)]
    wanted = -sum(float(told[row, place, int(some.ids[row, place + 1])]) for row, place in places) / 3
    assert loss(toy, 0, some).item() == pytest.approx(wanted, abs=1e-4)


def test_training_learns(tmp_path: Path) -> None:
    toy = Toy()
    before = mean_loss(toy, BATCHES)
    fit(list(toy.parameters()), toy, BATCHES, SETTINGS, place=tmp_path / "toy.pt")
    assert mean_loss(toy, BATCHES) < before - 0.3


def test_training_that_was_stopped_ends_where_it_would_have(tmp_path: Path) -> None:
    straight, stopped = Toy(), Toy()
    fit(list(straight.parameters()), straight, BATCHES, SETTINGS, place=tmp_path / "straight.pt")

    left = iter(range(13))

    def stop(number: int, batch: Batch) -> Tensor:
        if next(left, None) is None:
            raise KeyboardInterrupt
        told: Tensor = stopped(number, batch)
        return told

    with pytest.raises(KeyboardInterrupt):
        fit(list(stopped.parameters()), stop, BATCHES, SETTINGS, place=tmp_path / "stopped.pt")
    again = Toy()
    fit(list(again.parameters()), again, BATCHES, SETTINGS, place=tmp_path / "stopped.pt")
    assert torch.equal(again.table.weight, straight.table.weight)
