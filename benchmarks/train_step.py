"""What a step of training costs over CALM-pytorch: the same models, sites, batch and optimizer.

python -m benchmarks.train_step [--rounds 7]
"""

from typing import Any

import torch

from benchmarks import peer, timing, toy

ROWS, LENGTH = 4, 128


def main() -> None:
    """Print the table."""
    told = timing.parser(__doc__).parse_args()
    timing.settle()
    composed: Any = toy.compose(toy.anchor(), toy.augments(2)).train()
    calm = peer.compose(composed, toy.anchor(), toy.augments(2))
    ours = torch.optim.AdamW([weight for _, weight in composed.trainable()])
    theirs = torch.optim.AdamW(calm.parameters())
    text = toy.ids(LENGTH + 1, ROWS)

    def step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    ways: dict[str, timing.Way] = {
        "composed": lambda: step(ours, composed(input_ids=text[:, :-1], labels=text[:, :-1]).loss),
        "CALM-pytorch": lambda: step(theirs, calm(text, prompt=text[:, :-1])),
    }
    times = timing.alternate(ways, rounds=told.rounds)
    timing.row(f"train step {ROWS} x {LENGTH}: composed / CALM-pytorch", times, "composed", "CALM-pytorch", 0.9)


if __name__ == "__main__":
    main()
