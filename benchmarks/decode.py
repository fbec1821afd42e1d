"""What a composed model's decoding costs, over the sum of its parts and over CALM-pytorch.

python -m benchmarks.decode [--peer] [--new 256] [--rounds 7]
"""

from benchmarks import peer, timing, toy


def main() -> None:
    """Print the table."""
    parser = timing.parser(__doc__)
    parser.add_argument("--new", type=int, default=256, help="tokens to write")
    parser.add_argument("--peer", action="store_true", help="time CALM-pytorch as well")
    told = parser.parse_args()
    timing.settle()
    anchor, augments = toy.anchor(), toy.augments(2)
    composed = toy.compose(anchor, augments)
    alone = toy.parts(composed)
    prompt = toy.ids(16)
    whole = toy.generate(composed, prompt, told.new)

    def parts() -> None:
        toy.generate(anchor, prompt, told.new)
        for part in alone:
            toy.read_alone(part, whole, prompt.shape[1])

    ways: dict[str, timing.Way] = {
        "composed": lambda: toy.generate(composed, prompt, told.new),
        "parts": parts,
    }
    if told.peer:
        calm = peer.compose(composed, toy.anchor(), toy.augments(2))
        ways["CALM-pytorch"] = lambda: peer.generate(calm, prompt, told.new)
    times = timing.alternate(ways, rounds=told.rounds)
    timing.row(f"decode 16 + {told.new}: composed / parts", times, "composed", "parts", 1.15)
    if told.peer:
        timing.row(f"decode 16 + {told.new}: CALM-pytorch / composed", times, "CALM-pytorch", "composed", 7.0)


if __name__ == "__main__":
    main()
