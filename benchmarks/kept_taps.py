"""What a step of training costs on kept taps: its time over the whole step's, beside the share of work that remains.

python -m benchmarks.kept_taps [--rounds 7] [--real]

Work is what torch's FlopCounterMode counts, forward and backward; taps lie in files, as `orchestra train --keep-taps`
keeps them. With --real, SmolLM2-135M reads a second SmolLM2 by the default sites; `make real` fetches it.
"""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import orchestra
from benchmarks import timing, toy
from benchmarks.table import Table
from orchestra.lab.weights.fetch import folder
from orchestra.train.encode import Example
from orchestra.train.interrupt import Wish
from orchestra.train.kept import Keeping, collate_kept, keep

ROWS, LENGTH = 4, 128


def main() -> None:
    """Make the table."""
    told = timing.with_real(__doc__).parse_args()
    timing.settle()
    if told.real:
        table, composed = Table("kept_taps-real", "Training on kept taps, SmolLM2 reading itself", told), real()
    else:
        table = Table("kept_taps", "Training on kept taps, toy", told)
        composed = toy.compose(toy.anchor(), toy.augments(2))
    for ragged in (False, True):
        measure(table, composed.train(), ragged=ragged, rounds=told.rounds)
    table.write()


def measure(table: Table, composed: Any, *, ragged: bool, rounds: int) -> None:
    """Time both kinds of step on the same batch, in turns, and compare work and losses."""
    texts = toy.ids(LENGTH, ROWS).tolist()
    examples = [
        Example(ids=tuple(ids[: LENGTH - (29 * row if ragged else 0)]), num_prompt=1) for row, ids in enumerate(texts)
    ]
    with tempfile.TemporaryDirectory() as place:
        how = Keeping(folder=Path(place), pad_id=0, batch_size=ROWS, bf16=False, computing=nullcontext, wish=Wish())
        kept = keep(composed, examples, how)
        optimizer = torch.optim.AdamW([weight for _, weight in composed.trainable()])

        def step(on_taps: bool) -> Tensor:
            batch = collate_kept([kept[row] for row in range(ROWS)], 0)
            loss: Tensor = composed(**{**batch, "taps": batch["taps"] if on_taps else None}, use_cache=False).loss
            loss.backward()
            return loss

        apart = abs(step(True).item() - step(False).item())
        work = {on_taps: flops(lambda on_taps=on_taps: step(on_taps)) for on_taps in (True, False)}

        def whole(on_taps: bool) -> None:
            step(on_taps)
            optimizer.step()
            optimizer.zero_grad()

        times = timing.alternate({"on taps": lambda: whole(True), "whole": lambda: whole(False)}, rounds=rounds)
    share = work[True] / work[False]
    rows = "ragged rows" if ragged else f"{ROWS} x {LENGTH} tokens"
    table.count(f"{rows}: share of the work that remains", share, "ratio")
    table.ratio(f"{rows}: time on kept taps / of the whole step", times, "on taps", "whole")
    over = [each / share for each in times.ratios("on taps", "whole")]
    table.rounds(f"{rows}: share of the time over that of the work", over, target=1.1)
    table.count(f"{rows}: difference of the losses", apart, "nats", 1e-5)


def flops(run: Any) -> int:
    """What a run multiplies and adds, forward and backward."""
    with FlopCounterMode(display=False) as counted:
        run()
    return int(counted.get_total_flops())


def real() -> Any:
    """SmolLM2 reading another SmolLM2."""
    place = str(folder("smollm2"))
    model = {"model": place, "dtype": "float32"}
    document = {
        "format": "orchestra/graph@1",
        "anchor": model,
        "augments": {"second": {**model, "bridges": {"every": 10}}},
    }
    return toy.opened(orchestra.load(document))


if __name__ == "__main__":
    main()
