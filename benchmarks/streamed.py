"""What a stream adds to a step of decoding: the same models, read as streams and, for once, token for token.

python -m benchmarks.streamed [--new 128] [--rounds 7]
"""

from functools import partial

from benchmarks import timing, toy
from benchmarks.table import Table
from tests.trained import tokenizer

KINDS = ("byte-level, Llama 3, NFC", "unigram, Metaspace")


def main() -> None:
    """Make the table."""
    parser = timing.parser(__doc__)
    parser.add_argument("--new", type=int, default=128, help="tokens to write")
    told = parser.parse_args()
    timing.settle()
    table = Table("streamed", "Streams, toy", told)
    anchor, augments = toy.anchor(), toy.augments(2)
    own = tokenizer("byte-level, GPT-2")
    words = {"anchor": own, **dict(zip(augments, map(tokenizer, KINDS), strict=True))}
    for model in (anchor, *augments.values()):
        model.resize_token_embeddings(min(map(len, words.values())))
    shared, streamed = toy.compose(anchor, augments), toy.compose(anchor, augments, tokenizers=words)
    for rows in (1, 8):
        prompt = toy.ids(16, rows) % 256 + 1
        ways: dict[str, timing.Way] = {
            "streams": partial(toy.generate, streamed, prompt, told.new),
            "shared": partial(toy.generate, shared, prompt, told.new),
        }
        times = timing.alternate(ways, rounds=told.rounds)
        table.ratio(f"batch {rows}, 16 + {told.new}: streams / shared tokenizer", times, "streams", "shared")
        more = [a - b for a, b in zip(times.seconds["streams"], times.seconds["shared"], strict=True)]
        table.rounds(f"batch {rows}, 16 + {told.new}: beyond", [each / told.new * 1e3 for each in more], "ms per step")
    table.write()


if __name__ == "__main__":
    main()
