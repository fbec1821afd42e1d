"""What reading a prompt of 1,024 tokens costs, over the sum of the parts.

python -m benchmarks.reading [--length 1024] [--rounds 7]
"""

from typing import Any

import torch

from benchmarks import timing, toy


def main() -> None:
    """Print the table."""
    parser = timing.parser(__doc__)
    parser.add_argument("--length", type=int, default=1024, help="tokens in the prompt")
    told = parser.parse_args()
    timing.settle()
    anchor: Any = toy.anchor()
    composed = toy.compose(anchor, toy.augments(2))
    alone: list[Any] = [*toy.parts(composed)]
    prompt = toy.ids(told.length)

    @torch.no_grad()
    def whole() -> None:
        composed(input_ids=prompt, use_cache=True, logits_to_keep=1)

    @torch.no_grad()
    def parts() -> None:
        anchor(input_ids=prompt, use_cache=True, logits_to_keep=1)
        for part in alone:
            part(input_ids=prompt, use_cache=True)

    times = timing.alternate({"composed": whole, "parts": parts}, rounds=told.rounds)
    timing.row(f"read {told.length}: composed / parts", times, "composed", "parts", 1.10)


if __name__ == "__main__":
    main()
