"""What one more augment costs: operators and bytes of a step of decoding, and time, at N = 1, 2, 4, 8, 16.

python -m benchmarks.many [--new 64] [--rounds 7]
"""

from functools import partial
from itertools import pairwise

from benchmarks import counting, timing, toy

COUNTS = (1, 2, 4, 8, 16)


def main() -> None:
    """Print the table."""
    parser = timing.parser(__doc__)
    parser.add_argument("--new", type=int, default=64, help="tokens to write")
    told = parser.parse_args()
    timing.settle()
    anchor, augments = toy.anchor(), toy.augments(max(COUNTS))
    composed = {count: toy.compose(anchor, dict(list(augments.items())[:count])) for count in COUNTS}
    counts = {0: counting.count(counting.step(anchor, toy.ids(65)))}
    counts |= {count: counting.count(counting.step(model, toy.ids(65))) for count, model in composed.items()}
    for fewer, more in pairwise(counts):
        operators = (counts[more].num_operators - counts[fewer].num_operators) / (more - fewer)
        views = (counts[more].views.total() - counts[fewer].views.total()) / (more - fewer)
        touched = (counts[more].bytes - counts[fewer].bytes) / (more - fewer)
        print(
            f"{fewer:3} to {more:2}: {operators:8.2f} operators, {views:8.2f} views, {touched:12.1f} bytes per augment"
        )
    prompt = toy.ids(16)
    ways = {str(count): partial(toy.generate, model, prompt, told.new) for count, model in composed.items()}
    times = timing.alternate(ways, rounds=told.rounds)
    for count in COUNTS:
        print(f"N = {count:2}: {times.of(str(count)) / told.new * 1e3:8.3f} ms per token")
    early, late = ((times.of(str(b)) - times.of(str(a))) / (b - a) / told.new * 1e3 for a, b in ((1, 4), (4, 16)))
    print(f"one more augment: {early:.3f} ms per token from 1 to 4, {late:.3f} from 4 to 16, ratio {late / early:.3f}")


if __name__ == "__main__":
    main()
