import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestra.cli.cost import ratios
from orchestra.cost.tables import si
from orchestra.errors import ComposeError
from tests import folders
from tests.cli.conftest import Run
from tests.papers import graph_file


def rows(text: str) -> dict[str, list[str]]:
    """The cells of the tables in a text, by the first of each row."""
    lines = ([cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in text.splitlines() if "│" in line)
    found: dict[str, list[str]] = {}
    for name, *cells in lines:
        found.setdefault(name, cells)
    return found


def test_it_says_what_a_graph_costs_before_a_weight_is_there(run: Run, tmp_path: Path) -> None:
    path = graph_file(tmp_path, kv={"bridges": {"every": 1}}, tetum={"context": "prompt"})
    for weights in tmp_path.glob("*/model.safetensors"):
        assert weights.stat().st_size < 200
    done = run("cost", path, "--prompt-length", 11, "--new-tokens", 5)
    assert (done.code, done.err) == (0, "")
    found = rows(done.out)
    assert list(found) == [
        *("anchor", "+ kv", "+ tetum", "composition", "LoRA, rank 4", "fine-tuned anchor", "separate models"),
        *("bridges", "bridges, on kept taps"),
    ]
    assert "To run: one text of 11 + 5 tokens" in done.out
    tall = 5 * (4 * 22 * 22 + 3 * 22 * 88) + 97 * 22  # what the config does not say is as in most models
    context = 4 * 5 * 22 * (11 + 1 + 15 + 1) / 2
    assert found["anchor"][4:6] == [si(2 * tall + context), "1.00"]


@pytest.mark.parametrize("count", [1, 3, 8])
def test_tables_fit_a_hundred_columns(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int) -> None:
    path = graph_file(tmp_path, **{f"augment-{index}": {"model": "kv"} for index in range(count)})
    monkeypatch.setenv("COLUMNS", "100")
    done = run("cost", path)
    assert max(map(len, done.out.splitlines())) <= 100
    whole = [line for line in done.out.splitlines() if "│" in line]
    assert len(whole) == 1 + count + 1 + 3 + 4  # no row is broken in two


def test_into_a_pipe_no_word_is_broken(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COLUMNS")
    done = run("cost", graph_file(tmp_path, kv={"model": "kv"}))
    assert {"composition", "fine-tuned anchor", "parameters"} <= set(re.split(" *[│┃] *", done.out))


def test_eighty_columns_are_enough_to_break_no_word(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("cost", graph_file(tmp_path, kv={"model": "kv"})).out.splitlines()
    drawn = [line for line in lines if line[0] in "┏│┃└"]
    assert max(map(len, drawn)) <= 80
    cells = set(re.split(" *[│┃] *", "\n".join(drawn)))
    assert {"composition", "fine-tuned anchor", "parameters", "backward", "gradients", "optimizer"} <= cells


def test_as_json_it_is_the_whole_of_it(run: Run, tmp_path: Path) -> None:
    found = json.loads(run("cost", graph_file(tmp_path), "--json", "--batch", 3).out)
    assert set(found) == {"asked", "held", "lora", "rows", "train", "notes"}
    assert found["asked"] == {"prompt_length": 128, "new_tokens": 64, "batch": 3, "tokens_per_token": {}}
    kinds = [row["kind"] for row in found["rows"]]
    assert kinds == ["anchor", "augment", "composition", "lora", "tuned", "separate"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--prompt-length", "0"), "prompt_length is 0; it must be at least 1.\n"),
        (
            ("--tokens-per-token", "kv", "--tokens-per-token", "kv=x"),
            "tokens_per_token is 'kv'; it is NAME=NUMBER, as in kv=1.3.\n"
            "tokens_per_token is 'kv=x'; it is NAME=NUMBER, as in kv=1.3.\n",
        ),
        (
            ("--tokens-per-token", "kv=2"),
            'tokens_per_token names "kv", which reads the anchor\'s tokens, one for one; drop it.\n',
        ),
    ],
)
def test_a_mistake_is_one_message(run: Run, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = run("cost", graph_file(tmp_path), *words)
    assert (done.code, done.out, done.err) == (1, "", message)


def test_what_is_said_of_streams_is_read_by_name() -> None:
    assert ratios(["kv=1.5", "tetum=2"]) == {"kv": 1.5, "tetum": 2.0}
    with pytest.raises(ComposeError):
        ratios(["=1=2"])


def test_measuring_adds_what_it_takes_on_this_machine(
    run: Run, loud_graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)
    words = ("--measure", "--rounds", 1, "--prompt-length", 3, "--new-tokens", 1, "--json")
    found: dict[str, Any] = json.loads(run("cost", loud_graph, *words).out)["measured"]
    assert [row["name"] for row in found["rows"]][:3] == ["anchor", "anchor + kv", "composition"]
    assert [row["kind"] for row in found["rows"]] == ["anchor", "augment", "composition", "lora", "separate"]
    assert [step["kind"] for step in found["train"]] == ["composition", "kept", "lora", "tuned"]


def test_texts_that_are_longer_than_a_model_reads_are_not_measured(run: Run, tmp_path: Path) -> None:
    folders.checkpoint(tmp_path / "anchor", "llama")
    folders.checkpoint(tmp_path / "kv", "gpt2")
    done = run("cost", folders.graph(tmp_path / "graph.json", folders.document(kv={})), "--measure")
    assert done.err == (
        "prompt_length 128 and new_tokens 64 make 193 tokens of anchor, which has positions for 64; ask for less.\n"
        "prompt_length 128 and new_tokens 64 make 193 tokens of kv, which has positions for 64; ask for less.\n"
    )
