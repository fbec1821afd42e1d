"""What a stream adds to a step of decoding: the same models, read as streams and, for once, token for token.

python -m benchmarks.streamed [--new 256] [--rounds 7]
"""

import cProfile
import pstats
import time
from functools import partial
from typing import Any

from benchmarks import timing, toy
from tests.trained import tokenizer

KINDS = ("byte-level, Llama 3, NFC", "unigram, Metaspace")
INSIDE = ("align", "read", "_pack", "answer", "add_residuals")


def profiled(composed: Any, prompt: Any, new: int) -> None:
    """Print milliseconds per step inside of each of the runner's stages."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(toy.generate, composed, prompt, new)
    found: dict[str, float] = {}
    for (file, _line, function), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if function in INSIDE and file.endswith(("runner.py", "cache.py", "schedule.py")):
            found[function] = cumulative / new * 1e3
    print("   ms per step under the profiler: " + ", ".join(f"{name} {found[name]:.3f}" for name in INSIDE))


def main() -> None:
    """Print the table."""
    parser = timing.parser(__doc__)
    parser.add_argument("--new", type=int, default=256, help="tokens to write")
    told = parser.parse_args()
    timing.settle()
    anchor, augments = toy.anchor(), toy.augments(2)
    own = tokenizer("byte-level, GPT-2")
    words = {"anchor": own, **dict(zip(augments, map(tokenizer, KINDS), strict=True))}
    for model in (anchor, *augments.values()):
        model.resize_token_embeddings(min(map(len, words.values())))
    shared, streamed = toy.compose(anchor, augments), toy.compose(anchor, augments, tokenizers=words)
    for rows in (1, 8):
        prompt = toy.ids(16, rows) % 256 + 1
        ways = {"streamed": partial(toy.generate, streamed, prompt, told.new)}
        ways["shared"] = partial(toy.generate, shared, prompt, told.new)
        times = timing.alternate(ways, rounds=told.rounds)
        timing.row(f"batch {rows}, 16 + {told.new}: streams / shared tokenizer", times, "streamed", "shared")
        added = (times.of("streamed") - times.of("shared")) / told.new * 1e3
        print(f"   {added:.3f} ms more per step")
        profiled(streamed, prompt, told.new)


if __name__ == "__main__":
    main()
