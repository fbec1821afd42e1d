"""Writes the trio's questions, which ship with `orchestra eval`: `python -m benchmarks.questions`.

All are over atoms that no bridge was trained on. A test compares what ships with what this draws.
"""

import argparse
import json
import random
from pathlib import Path

from orchestra.lab.exercises import example, question
from orchestra.lab.measure import question_and_answer
from orchestra.lab.recipe import recipes

FOLDER = Path(__file__).parents[1] / "orchestra/eval/tasks/trio"
_ASKED = 200


def lines(name: str) -> list[str]:
    """The records of a task: `digits`, a specialist's, or `mixed`, where the mixes take turns."""
    domains = {one.name: one.domain for one in recipes()["trio"].specialists}
    every = [("kv", "tetum"), ("kv", "python"), ("tetum", "python"), ("kv", "tetum", "python")]
    mixes: list[tuple[str, ...]] = every if name == "mixed" else [()] if name == "digits" else [(name,)]
    rng, found = random.Random(f"eval/{name}"), []
    for index in range(_ASKED):
        mix = mixes[index % len(mixes)]
        asked, answer = question_and_answer(example(question(rng, [domains[one] for one in mix], working=False)))
        found.append(json.dumps({"prompt": asked, "target": answer, "domains": " + ".join(mix) or "digits"}))
    return found


def main() -> None:
    """Write all of them."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name in ("digits", "kv", "tetum", "python", "mixed"):
        (FOLDER / f"trio_{name}.jsonl").write_text("\n".join(lines(name)) + "\n", encoding="utf-8")
    print(f"written: {FOLDER}/trio_*.jsonl")


if __name__ == "__main__":
    main()
