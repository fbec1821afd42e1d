"""The table of the word problems, in Markdown."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestra.lab.results import cell
from orchestra.lab.words.lessons import columns

_HEAD = ("m_A, the augment alone", "m_B, the anchor alone", "composed", "m_B fine-tuned on the same stories")
_PAPER = {
    "CALM, table 3: GSM8K, mean of low-resource languages": ("5.0", "22.5", "**25.0**", "22.6"),
    "CALM, table 3: GSM8K, mean of high-resource languages": ("5.6", "28.0", "**31.8**", "25.6"),
}
_KNOWN = {
    "both": "in both languages",
    "tetum": "in Tetum only",
    "spanish": "in Spanish only",
    "neither": "in neither",
}
_ABOUT = (
    "Word problems of one to three steps; exact match of the last number in percent, {questions} questions per row, "
    "greedy, 95% Wilson intervals. The anchor learnt to count in English and saw some Spanish, no Tetum. The augment "
    "reads both and says the English of each word; it has never seen that anything is counted. One bridge. The last "
    "column is the anchor reading the same stories with every word put into English, in the order of the language: "
    "what perfect bridges into the embedding would give."
)


def report(results: Mapping[str, Any]) -> str:
    """All tables."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"# {results['name']}", "", _ABOUT.format(**results), "")
    yield f"| | {' | '.join(_HEAD)} | the anchor, words in English |"
    yield "|---" * (len(_HEAD) + 2) + "|"
    for key, column in columns().items():
        found = [cell(results["scores"][model][key]) for model in results["scores"]]
        twin = "" if column.language == "english" else cell(results["twins"][key])
        yield f"| {column.title} | {' | '.join(found)} | {twin} |"
    for title, numbers in _PAPER.items():
        yield f"| {title} | {' | '.join(numbers)} | |"
    yield from ("", "How often the English word is the nearest to what the anchor's first layer gets:", "")
    yield "| nouns and verbs that bridges met | " + " | ".join(map(str.capitalize, results["brought"])) + " |"
    yield "|---" * (len(results["brought"]) + 1) + "|"
    for kind, title in _KNOWN.items():
        cells = [cell(found[kind]) if kind in found else "" for found in results["brought"].values()]
        yield f"| {title} | {' | '.join(cells)} |"
    minutes = ", ".join(f"{name} {found}" for name, found in results["cpu_minutes"].items())
    yield from ("", f"CPU minutes of training, one thread: {minutes}.", "", _made(results["name"]))


def _made(name: str) -> str:
    scale = " --scale large" if name.endswith("large") else ""
    return f"Made by `orchestra reproduce words{scale}`."
