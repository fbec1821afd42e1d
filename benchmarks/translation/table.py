"""The result as a document and as a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.translation.data import Pair, Split
from benchmarks.translation.score import Score, gain, score

TITLES = {
    "smollm2": "SmolLM2-135M-Instruct alone, {shots} examples in the prompt",
    "gemma3": "gemma-3-270m alone, {shots} examples in the prompt",
    "lora": "LoRA on SmolLM2, same pairs",
    "random augment": "SmolLM2 + gemma with random weights, same bridges, same pairs",
    "composition": "**SmolLM2 + gemma-3-270m, bridges**",
}
MAIN = "composition"


def result(rows: Mapping[str, Mapping[str, Any]], parts: Split, language: str, *, epochs: int, shots: int) -> Any:
    """Scores of all rows, without a word of the texts."""
    references = [pair.english for pair in parts.test]
    scored = {}
    for name, row in rows.items():
        scored[name] = {key: value for key, value in row.items() if key != "outputs"}
        scored[name]["chrf"] = _rounded(score(row["outputs"], references))
        if name != MAIN and MAIN in rows:
            scored[name]["composition_gains"] = _rounded(gain(rows[MAIN]["outputs"], row["outputs"], references))
    return {
        "language": language,
        "shots": shots,
        "epochs": epochs,
        "pairs": {part: _programs(getattr(parts, part)) for part in ("train", "tune", "test")},
        "rows": scored,
    }


def _programs(pairs: Sequence[Pair]) -> dict[str, Any]:
    return {"count": len(pairs), "programs": dict(Counter(pair.program for pair in pairs).most_common())}


def _rounded(score: Score) -> dict[str, float]:
    return {key: round(value, 2) for key, value in asdict(score).items()}


def markdown(result: Mapping[str, Any]) -> str:
    """The table for people."""
    pairs = result["pairs"]
    programs = ", ".join(pairs["test"]["programs"])
    lines = [
        f"{result['language']} into English: chrF on {pairs['test']['count']} messages of programs that nothing was "
        f"trained on ({programs}), with 95% bootstrap intervals. {pairs['train']['count']:,} pairs to learn from, "
        f"{_times(result['epochs'])}.",
        "",
        "| | trained parameters | chrF | the composition has more by |",
        "|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        if name in result["rows"]:
            row = result["rows"][name]
            trained = f"{row['num_weights'] / 1e6:.1f}M" if "num_weights" in row else "-"
            more = Score(**row["composition_gains"]) if "composition_gains" in row else ""
            lines.append(f"| {title.format(shots=result['shots'])} | {trained} | {Score(**row['chrf'])} | {more} |")
    return "\n".join(lines) + "\n"


def _times(epochs: int) -> str:
    return "read once" if epochs == 1 else f"read {epochs} times"
