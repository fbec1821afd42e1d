"""The table of `orchestra reproduce kv`, in Markdown."""

from collections.abc import Mapping
from typing import Any

PAPER = {
    "augment": ("98.1", "4.2", "0.7"),
    "anchor": ("0.0", "73.7", "0.0"),
    "composed": ("92.9", "72.0", "84.3"),
}
"""Table 1 of CALM (arXiv 2401.02412): substitution, numeric arithmetic, key-value arithmetic."""


def report(results: Mapping[str, Any]) -> str:
    """The table beside the paper's, and what it is made of."""
    augment, anchor, composed = (results[name] for name in PAPER)
    ours = {
        "augment": (f"{cell(augment['keys'])} of single keys", "-", "-"),
        "anchor": (
            cell(anchor["keys"]["substitution"]),
            cell(anchor["digits"]["answer"]),
            cell(anchor["keys"]["answer"]),
        ),
        "composed": (
            cell(composed["keys"]["substitution"]),
            cell(composed["digits"]["answer"]),
            f"**{cell(composed['keys']['answer'])}**",
        ),
    }
    lines = [
        "# kv",
        "",
        f"Exact match in percent with 95% Wilson intervals, {results['questions']:,} fresh expressions of 3 to 6 "
        f"operands per cell (seed {results['seed']}), each sign of `+ - *` as likely as any other, products "
        f"before sums; {results['keys']:,} keys of 2 to 6 letters onto unique integers from 1, greedy decoding. The "
        "expressions hold keys that no bridge saw; bridges saw 20% of all. The anchor writes its working first "
        "(docs/notes/kv.md).",
        "",
        "| | substitution | the paper's | digits | the paper's | keys | the paper's |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, cells in ours.items():
        pairs = (f"{mine} | {theirs}" for mine, theirs in zip(cells, PAPER[name], strict=True))
        lines.append(f"| {_TITLES[name]} | {' | '.join(pairs)} |")
    seen = composed["seen keys"]
    lines += [
        "",
        f"Over keys that the bridge saw, the composition answers {cell(seen['answer'])} "
        f"and substitutes {cell(seen['substitution'])}.",
        "",
        *_parts("operands", results),
        "",
        *_parts("products", results),
    ]
    if results.get("cpu_minutes"):
        times = ", ".join(f"{name} {minutes}" for name, minutes in results["cpu_minutes"].items())
        lines += ["", f"CPU minutes of training, in one process each: {times}."]
    return "\n".join([*lines, "", f"Made by `orchestra reproduce kv --scale {results['scale']}`."]) + "\n"


def cell(record: Mapping[str, Any]) -> str:
    """A score with its interval."""
    low, high = record["interval"]
    return f"{record['percent']:.1f} [{low:.1f}, {high:.1f}]"


_TITLES = {"augment": "the augment alone", "anchor": "the anchor alone", "composed": "composed"}


def _parts(kind: str, results: Mapping[str, Any]) -> list[str]:
    """Answers by how many operands or products an expression has."""
    columns = {
        "digits, the anchor alone": results["anchor"]["digits"],
        "digits, composed": results["composed"]["digits"],
        "keys, composed": results["composed"]["keys"],
    }
    found = {title: scored[f"by_{kind}"] for title, scored in columns.items()}
    numbers = sorted({number for parts in found.values() for number in parts})
    lines = [f"| {kind} | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for number in numbers:
        cells = (
            f"{cell(parts[number])} of {parts[number]['asked']}" if number in parts else "-" for parts in found.values()
        )
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return lines
