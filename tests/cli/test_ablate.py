import json
from pathlib import Path

import orchestra
from orchestra.answers import Sampling, ablations
from tests.cli.conftest import Run

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
