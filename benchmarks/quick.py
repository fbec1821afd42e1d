"""The guard: operators and bytes of a step of decoding, which are the same on every machine, against their ceilings.

    python -m benchmarks.quick

Exit code 1 if anything runs that did not. A ceiling is lowered by whoever makes the composition leaner.
"""

from collections.abc import Mapping

from benchmarks import counting, toy

LENGTH = 65


def measured() -> dict[str, float]:
    """All numbers that are guarded, by name."""
    anchor, augments = toy.anchor(), toy.augments(4)
    counts = {}
    for number in (2, 3, 4):
        composed = toy.compose(anchor, dict(list(augments.items())[:number]))
        counts[number] = counting.count(counting.step(composed, toy.ids(LENGTH)))
    with composed.only():
        off = counting.count(counting.step(composed, toy.ids(LENGTH)))
    plain = counting.count(counting.step(anchor, toy.ids(LENGTH)))
    last, before = counts[4], counts[3]
    part = counting.count(counting.alone(toy.parts(composed)[0], toy.ids(LENGTH)))
    return {
        "operators of a step with all augments off, beyond the anchor's": off.num_operators - plain.num_operators,
        "operators of one more augment, beyond its own forward": (
            last.num_operators - before.num_operators - part.num_operators
        ),
        "KiB of one more augment, beyond its own forward": (last.bytes - before.bytes - part.bytes) / 1024,
        "operators of the 4th augment, beyond the 3rd's": (
            last.num_operators - 2 * before.num_operators + counts[2].num_operators
        ),
        "bytes of the 4th augment, beyond the 3rd's": last.bytes - 2 * before.bytes + counts[2].bytes,
    }


def exceeding(found: Mapping[str, float], ceilings: Mapping[str, float]) -> list[str]:
    """What is above its ceiling, in words."""
    return [f"{name}: {found[name]:.0f}, at most {most:.0f}" for name, most in ceilings.items() if found[name] > most]
