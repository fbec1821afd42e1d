import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

import orchestra
from orchestra.answers import Sampling, ablations
from orchestra.train.trainer import BridgeTrainer
from tests.cli.conftest import Done, Run
from tests.train.conftest import records, write_graph

PROMPT = "w5 w7 w11"
ASK = ("--prompt", PROMPT, "--max-new-tokens", 5)


def test_the_table_has_a_row_per_set_of_augments(run: Run, loud_graph: Path) -> None:
    done = run("ablate", loud_graph, *ASK)
    answers = ablations(orchestra.load(loud_graph), PROMPT, Sampling(max_new_tokens=5))
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.out.splitlines() if "│" in line]
    assert (done.code, done.err) == (0, "")
    assert cells == [["kv", answers[0].text], ["none", answers[1].text]]


def test_the_answers_as_json_are_those_of_the_table(run: Run, loud_graph: Path) -> None:
    found = json.loads(run("ablate", loud_graph, *ASK, "--json").out)
    assert found["prompt"] == PROMPT
    assert [answer["on"] for answer in found["answers"]] == [["kv"], []]
    assert found["answers"][0]["text"] != found["answers"][1]["text"]


@pytest.fixture
def swapped(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`swapped("--json")` trains a control of a fresh graph for a step."""
    monkeypatch.chdir(tmp_path)
    graph = write_graph(tmp_path)
    Path("pairs.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records()))

    def typed(*options: object) -> Done:
        told = ("--swap", "kv=prompt-only", "--data", "pairs.jsonl", "--held-out", 0.3, "--steps", 1, *options)
        return run("ablate", graph, *told)

    return typed


def test_controls_are_a_table_with_the_original_beside_them(swapped: Any) -> None:
    done = swapped("--batch-size", 3)
    assert done.code == 0, done.err
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.out.splitlines() if "│" in line]
    assert [row[0] for row in cells] == ["anchor alone", "kv, trained again", "kv=prompt-only"]
    assert "1 steps of 3" in done.out
    found = json.loads(swapped("--json", "--batch-size", 3).out)
    assert [row["graph"] for row in found["rows"]] == [
        None,
        "runs/graph-swaps/kv-original/graph.json",
        "runs/graph-swaps/kv-prompt-only/graph.json",
    ]
    lines = swapped("--markdown", "--batch-size", 3).out.splitlines()
    assert lines[0] == "| | trained | loss per token | above the original's | exact, % | below the original's |"
    assert re.fullmatch(r"\| kv=prompt-only \| 2,\d{3} \| .* \[.*\] \| .* \|", lines[4])
    assert lines[6] == f"- {found['notes'][0]}"


def test_controls_stopped_by_ctrl_c_are_one_line_and_exit_130(swapped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = BridgeTrainer.training_step

    def interrupted(self: Any, *args: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return original(self, *args)

    monkeypatch.setattr(BridgeTrainer, "training_step", interrupted)
    done = swapped("--steps", 2)
    assert (done.code, done.out) == (130, "")
    assert done.err.endswith("stopped after step 1 of 2; the same command goes on from there.\n")


@pytest.mark.parametrize("options", [(), ("--prompt", "w5", "--swap", "kv=random")])
def test_a_prompt_or_a_swap_is_needed(run: Run, loud_graph: Path, options: tuple[str, ...]) -> None:
    done = run("ablate", loud_graph, *options)
    assert (done.code, done.err) == (
        1,
        "give either --prompt, to answer it, or --swap (NAME=random, NAME=vanilla:FOLDER or NAME=prompt-only), to "
        "train controls.\n",
    )


def test_a_swap_without_data_is_refused(run: Run, loud_graph: Path) -> None:
    done = run("ablate", loud_graph, "--swap", "kv=random")
    assert (done.code, done.err) == (1, "--swap needs --data: the controls are trained on it.\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--prompt", "w5", "--steps", 3), "--steps belongs to --swap; with --prompt nothing is trained.\n"),
        (("--prompt", "w5", "--markdown"), "--markdown belongs to --swap; with --prompt nothing is trained.\n"),
        (
            ("--swap", "kv=random", "--data", "pairs.jsonl", "--max-new-tokens", 3),
            "--max-new-tokens belongs to --prompt; completions of --swap are as long as their records'.\n",
        ),
    ],
)
def test_an_option_of_the_other_way_is_refused(
    run: Run, loud_graph: Path, options: tuple[object, ...], message: str
) -> None:
    done = run("ablate", loud_graph, *options)
    assert (done.code, done.err) == (1, message)
