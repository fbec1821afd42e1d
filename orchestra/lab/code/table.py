"""The results as a document and as tables."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from orchestra.lab.code.functions import Function
from orchestra.lab.contest.records import Record
from orchestra.lab.contest.score import Score, chrf, gain, often, rounded, score
from orchestra.lab.measure import Score as Share

TITLES = {
    "anchor": "anchor alone, 2 examples in the prompt",
    "augment": "augment alone",
    "fine-tuned": "anchor fine-tuned",
    "lora": "LoRA on the anchor",
    "random augment": "anchor + augment with random weights",
    "vanilla augment": "anchor + the anchor itself",
    "prompt only": "anchor + augment that reads the prompt only",
    "composition": "**anchor + augment, bridges**",
}
MAIN = "composition"
_BESIDE = ("anchor", "fine-tuned", MAIN)
_SETTING = (
    "Functions of Python's standard library that say what they do, modules held out whole. The anchor, "
    "SmolLM2-135M-Instruct, has read English and much code, likely this library too; the augment, a Llama {width} wide "
    "with {layers} layers and a tokenizer of its own, nothing but the modules that are not held out. Every row that is "
    "trained learns from the same {train:,} functions as records of all three tasks, {often}. {test} functions "
    "of other modules are asked about, greedily."
)
_MEASURES = (
    "chrF against what is written there, with 95% bootstrap intervals; in brackets after it, how much more the "
    "composition has, on the same functions. *next line*: percent of completions whose first line is the right "
    "one; *parses*: of functions that are Python; both with 95% Wilson intervals. *loss*: nats per token on what "
    "should be written, of the records of all tasks of {tune} more functions, with no examples in front. *English*: on "
    "what modules say of themselves, the second half of each text after the first as the prompt; what lies above "
    "the first row's was forgotten."
)
_PAPER = (
    "The paper's: HumanEval (completion) augment 19.5, anchor 16.4, composed 22.5, anchor fine-tuned 24.3; MBPP "
    "(text-to-code) 28.0, 28.6, 32.2, 43.0; CodeXGLUE code-to-text, Python, chrF: anchor 30.4, composed 30.5. In "
    "its ablations on HumanEval: vanilla augment 20.0, random augment 20.1, augment that reads the prompt only "
    "16.0, LoRA 18.3."
)


def result(
    rows: Mapping[str, Mapping[str, Any]],
    test: Sequence[Function],
    asked: Mapping[str, Sequence[Record]],
    counts: Mapping[str, int],
) -> dict[str, Any]:
    """Scores of all rows, and what the composition says of ten functions."""
    scored: dict[str, Any] = {}
    for name, row in rows.items():
        scored[name] = {key: value for key, value in row.items() if key != "outputs"}
        for task, records in asked.items():
            wanted = [record.completion.strip() for record in records]
            said = _said(row, task)
            scored[name][task] = {"chrf": rounded(score(said, wanted))}
            if name != MAIN and MAIN in rows:
                scored[name][task]["composition_gains"] = rounded(gain(_said(rows[MAIN], task), said, wanted))
        scored[name]["next line"] = _share(
            _line(said) == _line(record.completion)
            for said, record in zip(row["outputs"]["completion"], asked["completion"], strict=True)
        )
        heads = [function.head for function in test]
        scored[name]["parses"] = _share(
            _parses(f"{head}\n{said}") for head, said in zip(heads, row["outputs"]["text-to-code"], strict=True)
        )
    return {**counts, "rows": scored, "examples": _examples(rows, test)}


def _said(row: Mapping[str, Any], task: str) -> list[str]:
    return [text.strip() for text in row["outputs"][task]]


def _line(text: str) -> str:
    return text.lstrip("\n").split("\n")[0].strip()


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    return True


def _share(found: Any) -> dict[str, Any]:
    hits = list(found)
    return Share(right=sum(hits), asked=len(hits), guess=0.0).record()


def _examples(rows: Mapping[str, Mapping[str, Any]], test: Sequence[Function]) -> list[dict[str, Any]]:
    """Ten functions, evenly over how well the composition explains them: the best first."""
    if MAIN not in rows:
        return []
    said = _said(rows[MAIN], "code-to-text")
    order = sorted(range(len(test)), key=lambda at: -chrf([said[at]], [test[at].told]))
    chosen = [order[place * (len(order) - 1) // 9] for place in range(10)] if len(order) >= 10 else order
    return [
        {
            "code": test[at].code,
            "told": test[at].told,
            **{name: _said(rows[name], "code-to-text")[at] for name in _BESIDE if name in rows},
        }
        for at in chosen
    ]


def markdown(result: Mapping[str, Any]) -> str:
    """The tables for people."""
    tasks = ("completion", "text-to-code", "code-to-text")
    lines = ["# code", "", _SETTING.format(**result, often=often(result["epochs"])), "", _MEASURES.format(**result), ""]
    lines += [f"| | trained parameters | {' | '.join(tasks)} | next line | parses | loss | English |", "|---" * 8 + "|"]
    for name, row in result["rows"].items():
        trained = f"{row['num_weights'] / 1e6:.2f}M" if "num_weights" in row else "-"
        cells = [_cell(row[task]) for task in tasks]
        cells += [_percent(row["next line"]), _percent(row["parses"])]
        cells += [str(row.get("tune_loss", "")), str(row.get("english", ""))]
        lines.append(f"| {TITLES[name]} | {trained} | {' | '.join(cells)} |")
    minutes = ", ".join(f"{name} {row['cpu_minutes']}" for name, row in result["rows"].items())
    lines += ["", _PAPER, "", "## Ten functions", ""]
    lines += [
        "What is said of ten of the functions, evenly from the best to the worst of the composition's answers. They "
        "are of Python's standard library, and under its licence.",
        "",
    ]
    for example in result["examples"]:
        lines += ["```python", example["code"], "```", "", f"- written there: {example['told']}"]
        lines += [f"- {name}: {example[name] or '(nothing)'}" for name in _BESIDE if name in example]
        lines.append("")
    lines += [f"CPU minutes, one thread: {minutes}.", "", "Made by `orchestra reproduce code`."]
    return "\n".join(lines) + "\n"


def _cell(scored: Mapping[str, Any]) -> str:
    more = f" ({Score(**scored['composition_gains'])})" if "composition_gains" in scored else ""
    return f"{Score(**scored['chrf'])}{more}"


def _percent(record: Mapping[str, Any]) -> str:
    low, high = record["interval"]
    return f"{record['percent']:.1f} [{low:.1f}, {high:.1f}]"
