"""What reading a prompt of 1,024 tokens costs, over the sum of the parts.

python -m benchmarks.reading [--real] [--length 1024] [--rounds 31]
"""

from collections import deque
from typing import Any

import torch
from torch import Tensor

from benchmarks import alone, real, timing, toy
from benchmarks.table import Table
from orchestra import ComposedModel


def ways(composed: ComposedModel, prompt: Tensor) -> dict[str, timing.Way]:
    """The composition, and its parts: each augment reads what it reads in the composition."""
    model: Any = composed
    anchor: Any = composed.anchor
    length = torch.tensor([prompt.shape[1]])

    @torch.no_grad()
    def whole() -> None:
        model(input_ids=prompt, prompt_length=length, use_cache=True, logits_to_keep=1)

    with alone.recording(composed) as read:
        whole()
    cut = alone.parts(composed)

    @torch.no_grad()
    def parts() -> None:
        anchor(input_ids=prompt, use_cache=True, logits_to_keep=1)
        for name, part in cut.items():
            deque(alone.replay(part, read[name]), maxlen=0)

    return {"composed": whole, "parts": parts}


def main() -> None:
    """Make the table."""
    parser = timing.with_real(__doc__, rounds=31)
    parser.add_argument("--length", type=int, default=1024, help="tokens in the prompt")
    told = parser.parse_args()
    timing.settle()
    if told.real:
        table = Table("reading-real", "Reading a prompt, real models", told)
        for name, composed in real.compositions((1, 2)):  # stories has 256 positions
            times = timing.alternate(ways(composed, real.ids(composed, told.length)), rounds=told.rounds)
            table.ratio(f"{name}, {told.length} tokens: composed / parts", times, "composed", "parts", 1.10)
    else:
        table = Table("reading", "Reading a prompt, toy", told)
        composed = toy.compose(toy.anchor(), toy.augments(2))
        times = timing.alternate(ways(composed, toy.ids(told.length)), rounds=told.rounds)
        table.ratio(f"{told.length} tokens: composed / parts", times, "composed", "parts", 1.10)
    table.write()


if __name__ == "__main__":
    main()
