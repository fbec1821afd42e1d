"""What a composed model costs with every augment off, over the plain anchor.

python -m benchmarks.off [--new 64] [--rounds 7]
"""

from benchmarks import counting, timing, toy


def main() -> None:
    """Print the table."""
    parser = timing.parser(__doc__)
    parser.add_argument("--new", type=int, default=64, help="tokens to write")
    told = parser.parse_args()
    timing.settle()
    anchor = toy.anchor()
    composed = toy.compose(anchor, toy.augments(2))
    prompt = toy.ids(16)
    with composed.only():
        off = counting.count(lambda: toy.generate(composed, prompt, 3))
        plain = counting.count(lambda: toy.generate(anchor, prompt, 3))
        print(f"3 tokens: {off.num_operators} operators and {off.bytes} bytes off,")
        print(f"{plain.num_operators} and {plain.bytes} plain; only off: {dict(off.operators - plain.operators)}, ")
        print(f"only plain: {dict(plain.operators - off.operators)}")
        ways: dict[str, timing.Way] = {
            "off": lambda: toy.generate(composed, prompt, told.new),
            "plain": lambda: toy.generate(anchor, prompt, told.new),
        }
        times = timing.alternate(ways, rounds=told.rounds)
    timing.row(f"decode 16 + {told.new}: all off / plain anchor", times, "off", "plain", 1.05)


if __name__ == "__main__":
    main()
