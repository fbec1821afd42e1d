"""What a step of training costs over CALM-pytorch: the same models, sites, batch and optimizer.

python -m benchmarks.train_step [--rounds 21]
"""

from typing import Any

import torch

from benchmarks import peer, timing, toy
from benchmarks.table import Table

ROWS, LENGTH = 4, 128


def main() -> None:
    """Make the table."""
    told = timing.parser(__doc__, rounds=21).parse_args()
    timing.settle()
    table = Table("train_step", "Training, toy", told)
    composed: Any = toy.compose(toy.anchor(), toy.augments(2)).train()
    calm = peer.compose(composed, toy.anchor(), toy.augments(2))
    ours = torch.optim.AdamW([weight for _, weight in composed.trainable()])
    theirs = torch.optim.AdamW(calm.parameters())
    text = toy.ids(LENGTH + 1, ROWS)

    def step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def own() -> None:
        step(ours, composed(input_ids=text[:, :-1], labels=text[:, :-1]).loss)

    def peers() -> None:
        step(theirs, calm(text, prompt=text[:, :-1]))
        peer.forget(calm)

    times = timing.alternate({"composed": own, "CALM-pytorch": peers}, rounds=told.rounds)
    table.ratio(f"{ROWS} x {LENGTH} tokens: composed / CALM-pytorch", times, "composed", "CALM-pytorch", 0.9)
    table.count("composed, one step", times.of("composed") * 1e3, "ms")
    table.count("CALM-pytorch, one step", times.of("CALM-pytorch") * 1e3, "ms")
    table.write()


if __name__ == "__main__":
    main()
