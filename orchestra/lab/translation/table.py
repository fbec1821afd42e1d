"""The result as a document and as a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from orchestra.lab.contest.score import Score, gain, often, rounded, score
from orchestra.lab.translation.data import Pair, Split

TITLES = {
    "smollm2": "SmolLM2-135M-Instruct alone, {shots} examples in the prompt",
    "gemma3": "gemma-3-270m alone, {shots} examples in the prompt",
    "fine-tuned": "SmolLM2 fine-tuned, same pairs",
    "lora": "LoRA on SmolLM2, same pairs",
    "random augment": "SmolLM2 + gemma with random weights, same bridges, same pairs",
    "vanilla augment": "SmolLM2 + SmolLM2 itself, same bridges, same pairs",
    "prompt only": "SmolLM2 + gemma-3-270m that reads the prompt only, same bridges, same pairs",
    "composition": "**SmolLM2 + gemma-3-270m, bridges**",
}
MAIN = "composition"
_PAPER = (
    "The paper's (into English from FLORES-200, chrF, mean of ten low-resource languages): augment alone 37.2, anchor "
    "alone 41.7, composed 46.1, anchor fine-tuned 48.2. In its ablations: composed 60.5, vanilla augment 59.2, random "
    "augment 58.8, augment that reads the prompt only 59.3, LoRA 59.2."
)
_LOSSES = (
    "Loss: nats per token of the English of {count} more messages of other programs, with no examples in front. On "
    "English: nats per token on what modules of Python's standard library say of themselves, the second half of each "
    "text after the first as the prompt; what lies above the first row's was forgotten."
)


def result(rows: Mapping[str, Mapping[str, Any]], parts: Split, language: str, *, epochs: int, shots: int) -> Any:
    """Scores of all rows, without a word of the texts."""
    references = [pair.english for pair in parts.test]
    scored = {}
    for name, row in rows.items():
        scored[name] = {key: value for key, value in row.items() if key != "outputs"}
        scored[name]["chrf"] = rounded(score(_outputs(row), references))
        if name != MAIN and MAIN in rows:
            scored[name]["composition_gains"] = rounded(
                gain(rows[MAIN]["outputs"]["translation"], row["outputs"]["translation"], references)
            )
    return {
        "language": language,
        "shots": shots,
        "epochs": epochs,
        "pairs": {part: _programs(getattr(parts, part)) for part in ("train", "tune", "test")},
        "rows": scored,
    }


def _outputs(row: Mapping[str, Any]) -> list[str]:
    """Without the space that a model writes first."""
    return [text.strip() for text in row["outputs"]["translation"]]


def _programs(pairs: Sequence[Pair]) -> dict[str, Any]:
    return {"count": len(pairs), "programs": dict(Counter(pair.program for pair in pairs).most_common())}


def markdown(result: Mapping[str, Any]) -> str:
    """The table for people."""
    pairs = result["pairs"]
    programs = ", ".join(pairs["test"]["programs"])
    lines = [
        f"{result['language']} into English: chrF on {pairs['test']['count']} messages of programs that nothing was "
        f"trained on ({programs}), with 95% bootstrap intervals. {pairs['train']['count']:,} pairs to learn from, "
        f"read {often(result['epochs'])}.",
        "",
        "| | trained parameters | chrF | the composition has more by | loss | loss on English |",
        "|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        if name in result["rows"]:
            row = result["rows"][name]
            trained = f"{row['num_weights'] / 1e6:.1f}M" if "num_weights" in row else "-"
            more = Score(**row["composition_gains"]) if "composition_gains" in row else ""
            cells = [title.format(shots=result["shots"]), trained, Score(**row["chrf"]), more]
            cells += [row.get("tune_loss", ""), row.get("english", "")]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", _LOSSES.format(**pairs["tune"]), "", _PAPER, "", "Made by `orchestra reproduce translation`."]
    return "\n".join(lines) + "\n"
