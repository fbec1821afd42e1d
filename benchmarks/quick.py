"""The guard: operators and bytes of a step of decoding, the same on every machine, busy or not, against their ceilings.

    python -m benchmarks.quick

Exit code 1 where a step does more than it did. Whoever makes the composition leaner lowers a ceiling.
"""

import sys
from collections.abc import Mapping

from benchmarks import counting, toy

LENGTH = 65
CEILINGS: dict[str, float] = {
    "operators that only the anchor with all augments off runs": 2,  # in generate, once: the length of the prompt
    "operators that only the plain anchor runs": 0,
    "operators of one more augment, beyond its own forward": 58,
    "KiB of one more augment, beyond its own forward": 3176,
    "operators of the 4th augment, beyond those of the 3rd": 0,
    "bytes of the 4th augment, beyond those of the 3rd": 0,
}


def measured() -> dict[str, float]:
    """All numbers that are guarded, by name."""
    anchor, augments = toy.anchor(), toy.augments(4)
    counts = {}
    for number in (2, 3, 4):
        composed = toy.compose(anchor, dict(list(augments.items())[:number]))
        counts[number] = counting.count(counting.step(composed, toy.ids(LENGTH)))
    with composed.only():
        off = counting.count(lambda: toy.generate(composed, toy.ids(7), 3)).operators
    plain = counting.count(lambda: toy.generate(anchor, toy.ids(7), 3)).operators
    part = counting.count(counting.alone(toy.parts(composed)[0], toy.ids(LENGTH)))
    third, fourth = (counting.beyond(counts[more], counts[more - 1]) for more in (3, 4))
    found = (
        (off - plain).total(),
        (plain - off).total(),
        third[0] - part.num_operators,
        (third[1] - part.bytes) / 1024,
        fourth[0] - third[0],
        fourth[1] - third[1],
    )
    return dict(zip(CEILINGS, found, strict=True))


def exceeding(found: Mapping[str, float]) -> list[str]:
    """What is above its ceiling, in words."""
    return [f"{name}: {found[name]:.0f}, at most {most:.0f}" for name, most in CEILINGS.items() if found[name] > most]


def main() -> None:
    """Print the numbers, and fail where one is above its ceiling."""
    found = measured()
    for name, number in found.items():
        print(f"{name:58}{number:9.0f}   at most {CEILINGS[name]:.0f}")
    sys.exit("\n".join(exceeding(found)) or None)


if __name__ == "__main__":
    main()
