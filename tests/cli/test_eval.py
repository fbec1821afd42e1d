import json
import re
from pathlib import Path
from typing import Any

import pytest

from orchestra.cli import eval as command
from orchestra.eval import EvalSpec, Evaluation
from orchestra.eval.records import FORMS
from tests.cli.conftest import Run
from tests.eval.examples import PAIRS, jsonl

TRIO = Path(__file__).parents[2] / "graphs/trio.json"


def test_the_table_the_progress_and_the_json_go_where_they_belong(run: Run) -> None:
    given = (TRIO, "trio_kv", "--ablate", "kv", "--limit", 3, "--batch-size", 3, "--bootstrap", 100)
    done = run("eval", *given)
    lines = [" ".join(line.split()) for line in done.out.splitlines() if line.strip()]
    assert (done.code, lines) == (
        0,
        [
            "Scores, and minus that of the full composition, [95%]",
            "trio_kv: exact_match \u2191, n = 3",
            "full composition 1.000 [1.000, 1.000]",
            "without kv 0.000 [0.000, 0.000] -1.000 [-1.000, -1.000]",
        ],
    )
    assert "1 of 2: full composition\n" in done.err
    found = json.loads(run("eval", *given, "--json").out)
    assert found["graph"] == str(TRIO)
    assert [(one["setting"], one["on"]) for one in found["scores"]] == [
        ("full composition", ["kv", "python", "tetum"]),
        ("without kv", ["python", "tetum"]),
    ]
    assert found["scores"][1]["difference"] == {"value": -1.0, "low": -1.0, "high": -1.0}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[EvalSpec]:
    """The settings that the command makes of its options; nothing is run."""
    specs: list[EvalSpec] = []

    def evaluate(model: Any, spec: EvalSpec, tell: Any) -> Evaluation:
        specs.append(spec)
        return Evaluation(settings=(), scores=())

    monkeypatch.setattr(command, "evaluate", evaluate)
    monkeypatch.setattr(command, "load", lambda graph: None)
    return specs


def test_every_option_is_a_setting(run: Run, asked: list[EvalSpec]) -> None:
    run("eval", "graph.json", "to_english", "a,b")
    assert asked.pop() == EvalSpec(tasks=("to_english", "a,b"))
    options = """--data pairs.jsonl --data word_problems=a=b.jsonl --data ./kv=1 --ablate each --ablate kv,tetum
        --include-path own --num-fewshot 3 --limit 0.5 --batch-size auto --seed 5 --apply-chat-template
        --fewshot-as-multiturn --system-instruction Answer. --gen-kwargs max_gen_toks=5 --metadata {"questions":7}
        --bootstrap 900 --confirm-run-unsafe-code --output out"""
    assert run("eval", "graph.json", "to_english", *options.replace(" --data ./kv=1", "").split()).code == 0
    assert asked.pop() == EvalSpec(
        tasks=("to_english",),
        data={"": Path("pairs.jsonl"), "word_problems": Path("a=b.jsonl")},
        ablate=("each", "kv,tetum"),
        include=(Path("own"),),
        num_fewshot=3,
        limit=0.5,
        batch_size="auto",
        seed=5,
        apply_chat_template=True,
        fewshot_as_multiturn=True,
        system_instruction="Answer.",
        gen_kwargs="max_gen_toks=5",
        metadata={"questions": 7},
        bootstrap=900,
        confirm_run_unsafe_code=True,
        output=Path("out"),
    )
    run("eval", "graph.json", "to_english", "--data", "./kv=1")
    assert asked.pop().data == {"": Path("./kv=1")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "a", "--data", "b"), "--data b: every task has a file already."),
        (
            ("--data", "to_english=a", "--data", "to_english=b"),
            "--data to_english=b: to_english has a file already.",
        ),
        (("--limit", "0"), "limit is 0; it must be a whole number of records, or a share of them below 1."),
        (("--limit", "2.5"), "limit is 2.5; it must be a whole number of records, or a share of them below 1."),
        (("--seed", "-1"), "seed is -1; it must be from 0 to 4294967295."),
        (
            ("--metadata", '{"orchestra": 1}'),
            "metadata has 'orchestra', which is kept for what tasks are told of files and seeds.",
        ),
        (("--bootstrap", "99"), "bootstrap is 99; it must be at least 100."),
        (("--batch-size", "0"), "batch_size is 0; it must be a positive number, or auto."),
        (("--batch-size", "many"), "batch_size is 'many'; it must be a positive number, or auto."),
        (("--metadata", "[1]"), "--metadata must be a JSON object."),
        (("--metadata", "{"), "--metadata is not JSON: Expecting property name enclosed in double quotes: "),
    ],
)
def test_options_that_say_nothing_are_one_message(
    options: tuple[str, ...], message: str, run: Run, asked: list[EvalSpec]
) -> None:
    done = run("eval", "graph.json", "to_english", *options)
    assert (done.code, done.out, asked) == (1, "", [])
    assert done.err.startswith(message)


def test_a_malformed_record_is_one_message_that_names_it(run: Run, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "pairs.jsonl", [*PAIRS, {"source": "a", "english": 5}])
    done = run("eval", TRIO, "to_english", "--data", path)
    assert done.code == 1
    assert done.err == (
        f"{path}: line 4: 'english' must be a string; a record of to_english has 'source', 'english'.\n"
    )


def test_the_page_names_every_task_that_reads_a_file() -> None:
    page = (TRIO.parents[1] / "docs/evaluation.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page.split("## Tasks that ship")[1]))
    assert set(FORMS) <= named
