"""What a composed model costs with every augment off, over the plain anchor.

python -m benchmarks.off [--new 32] [--rounds 41]
"""

from benchmarks import counting, timing, toy
from benchmarks.table import Table


def main() -> None:
    """Make the table."""
    parser = timing.parser(__doc__, rounds=41)
    parser.add_argument("--new", type=int, default=32, help="tokens to write")
    told = parser.parse_args()
    timing.settle()
    table = Table("off", "All augments off, toy", told)
    anchor = toy.anchor()
    composed = toy.compose(anchor, toy.augments(2))
    prompt = toy.ids(16)
    with composed.only():
        off = counting.count(lambda: toy.generate(composed, prompt, told.new)).operators
        plain = counting.count(lambda: toy.generate(anchor, prompt, told.new)).operators
        table.count(f"16 + {told.new}: that the plain anchor runs", plain.total(), "operators")
        table.count(f"16 + {told.new}: that only run with all off", (off - plain).total(), "operators", 0)
        table.count(f"16 + {told.new}: that only the plain anchor runs", (plain - off).total(), "operators", 0)
        ways: dict[str, timing.Way] = {
            "off": lambda: toy.generate(composed, prompt, told.new),
            "plain": lambda: toy.generate(anchor, prompt, told.new),
        }
        times = timing.alternate(ways, rounds=told.rounds)
    table.ratio(f"16 + {told.new}: all off / plain anchor", times, "off", "plain", 1.05)
    for name, number in (off - plain).items():
        print(f"    only off: {number} {name}")
    table.write()


if __name__ == "__main__":
    main()
