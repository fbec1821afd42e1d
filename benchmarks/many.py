"""What one more augment costs: operators and bytes of a step of decoding, and time, at N = 1, 2, 4, 8, 16.

python -m benchmarks.many [--new 32] [--rounds 11]
"""

from functools import partial
from itertools import pairwise

from benchmarks import counting, timing, toy
from benchmarks.table import Table

COUNTS = (1, 2, 4, 8, 16)


def slopes(times: timing.Times, fewer: int, more: int) -> list[float]:
    """Seconds of one more augment, between two numbers of them, in each round."""
    few, many = times.seconds[str(fewer)], times.seconds[str(more)]
    return [(b - a) / (more - fewer) for a, b in zip(few, many, strict=True)]


def main() -> None:
    """Make the table."""
    parser = timing.parser(__doc__, rounds=11)
    parser.add_argument("--new", type=int, default=32, help="tokens to write")
    told = parser.parse_args()
    timing.settle()
    table = Table("many", "One more augment, toy", told)
    anchor, augments = toy.anchor(), toy.augments(max(COUNTS))
    composed = {number: toy.compose(anchor, dict(list(augments.items())[:number])) for number in COUNTS}
    counts = {number: counting.count(counting.step(model, toy.ids(65))) for number, model in composed.items()}
    operators, touched = [], []
    for fewer, more in pairwise(COUNTS):
        beyond = counting.beyond(counts[more], counts[fewer])
        operators.append(beyond[0] / (more - fewer))
        touched.append(beyond[1] / (more - fewer))
        table.count(f"one more, from {fewer} to {more}, a step at 65 tokens", operators[-1], "operators")
        table.count(f"one more, from {fewer} to {more}, a step at 65 tokens", touched[-1], "bytes")
    table.count("the dearest beyond the cheapest of these", max(operators) - min(operators), "operators", 0)
    table.count("the dearest beyond the cheapest of these", max(touched) - min(touched), "bytes", 0)
    ways = {str(number): partial(toy.generate, model, toy.ids(16), told.new) for number, model in composed.items()}
    times = timing.alternate(ways, rounds=told.rounds)
    milliseconds = 1e3 / told.new
    early, late = slopes(times, 1, 4), slopes(times, 4, 16)
    table.rounds("one more, from 1 to 4", [each * milliseconds for each in early], "ms per token")
    table.rounds("one more, from 4 to 16", [each * milliseconds for each in late], "ms per token")
    ratios = [b / a for a, b in zip(early, late, strict=True)]
    table.rounds("time of one more, from 4 to 16 / from 1 to 4", ratios, target=1.10)
    for number in COUNTS:
        table.point(
            "augments",
            number=number,
            ms_per_token=times.of(str(number)) * milliseconds,
            operators=counts[number].num_operators,
            megabytes=counts[number].bytes / 1e6,
        )
    table.write()


if __name__ == "__main__":
    main()
