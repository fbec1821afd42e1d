"""What a composed model's decoding costs, over the sum of its parts and over CALM-pytorch; and whether it is right.

python -m benchmarks.decode [--peer] [--real] [--new 256] [--rounds 7]
"""

from collections import deque
from typing import Any

import torch
from torch import Tensor

from benchmarks import alone, peer, real, timing, toy
from benchmarks.table import Table
from orchestra import ComposedModel

PROMPT = 16


def ways(composed: ComposedModel, prompt: Tensor, new: int) -> dict[str, timing.Way]:
    """The composition, and its parts: the anchor writes as much, and each augment reads what it read beside it.

    The parts run one after another; and once more in turns, block by block, as any composition has to run them: what
    one of them reads of its weights then pushes those of the others out of the processor's caches.
    """
    with alone.recording(composed) as read:
        toy.generate(composed, prompt, new)
    cut = alone.parts(composed)

    def parts() -> None:
        toy.generate(composed.anchor, prompt, new)
        for name, part in cut.items():
            deque(alone.replay(part, read[name]), maxlen=0)

    def turns() -> None:
        beside = alone.Beside(*(alone.replay(part, read[name]) for name, part in cut.items()))
        toy.generate(composed.anchor, prompt, new, streamer=beside)

    return {"composed": lambda: toy.generate(composed, prompt, new), "parts": parts, "in turns": turns}


@torch.no_grad()
def right(model: Any, prompt: Tensor, written: Tensor) -> int:
    """How many of the written tokens one forward over the whole text, without a cache, finds likeliest too."""
    output = model(written)
    logits = (output if isinstance(output, Tensor) else output.logits)[0, prompt.shape[1] - 1 : -1]
    end = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if end is not None:
        logits[:, end] = -torch.inf  # forbidden while writing
    return int((logits.argmax(-1) == written[0, prompt.shape[1] :]).sum())


def in_parts(table: Table, times: timing.Times, new: int) -> None:
    """The toy's rows over its parts."""
    table.ratio(f"{PROMPT} + {new}: composed / parts", times, "composed", "parts", 1.15)
    table.ratio(f"{PROMPT} + {new}: parts in turns, block by block / parts", times, "in turns", "parts")
    table.ratio(f"{PROMPT} + {new}: composed / parts in turns", times, "composed", "in turns")


def with_peer(table: Table, composed: ComposedModel, new: int, rounds: int) -> None:
    """The rows of the toy, beside CALM-pytorch."""
    prompt = toy.ids(PROMPT)
    calm = peer.compose(composed, toy.anchor(), toy.augments(2))
    both = {**ways(composed, prompt, new), "CALM-pytorch": lambda: peer.generate(calm, prompt, new)}
    times = timing.alternate(both, rounds=rounds)
    in_parts(table, times, new)
    table.ratio(f"{PROMPT} + {new}: CALM-pytorch / composed", times, "CALM-pytorch", "composed", 7.0, at_least=True)
    theirs = peer.greedy(calm, prompt, new)
    same = right(lambda ids: calm(ids, prompt=prompt, return_loss=False), prompt, theirs)
    table.count("CALM-pytorch, tokens that one forward of its own over the text finds likeliest too", same, f"of {new}")


def main() -> None:
    """Make the table."""
    parser = timing.with_real(__doc__)
    parser.add_argument("--new", type=int, default=256, help="tokens to write")
    parser.add_argument("--peer", action="store_true", help="CALM-pytorch as well")
    told = parser.parse_args()
    timing.settle()
    if told.real:
        table = Table("decode-real", "Decoding, real models", told)
        for name, composed in real.compositions():
            prompt = real.ids(composed, PROMPT)
            new = min(told.new, 128) if "stories" in name else told.new  # its 256 positions hold no more
            both = ways(composed, prompt, new)
            del both["in turns"]  # what is as large as this comes from memory in any order
            times = timing.alternate(both, rounds=told.rounds, warm=False)  # their weights were read to note the blocks
            table.ratio(f"{name}, {PROMPT} + {new}: composed / parts", times, "composed", "parts", 1.08)
            same = right(composed, prompt, toy.generate(composed, prompt, new))
            table.count(f"{name}, tokens that one forward over the text finds likeliest too", same, f"of {new}")
        table.write()
        return
    table = Table("decode", "Decoding, toy", told)
    composed = toy.compose(toy.anchor(), toy.augments(2))
    prompt = toy.ids(PROMPT)
    same = right(composed, prompt, toy.generate(composed, prompt, told.new))
    table.count(
        "composed, tokens that one forward over the text finds likeliest too",
        same,
        f"of {told.new}",
        told.new,
        at_least=True,
    )
    if told.peer:
        with_peer(table, composed, told.new, told.rounds)
    else:
        times = timing.alternate(ways(composed, prompt, told.new), rounds=told.rounds)
        in_parts(table, times, told.new)
    table.write()


if __name__ == "__main__":
    main()
