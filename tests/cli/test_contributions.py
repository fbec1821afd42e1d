import json
from pathlib import Path

import orchestra
from orchestra.answers import Sampling, written
from tests.cli.conftest import Run

TEXT = "w5 w7 w11"


def test_what_each_bridge_adds_is_a_row_per_token(run: Run, loud_graph: Path) -> None:
    done = run("contributions", loud_graph, "--text", TEXT)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{orchestra.load(loud_graph).contributions(TEXT)}\n"
    assert len(done.out.splitlines()) == 2 + 3


def test_all_numbers_are_there_as_json(run: Run, loud_graph: Path) -> None:
    found = json.loads(run("contributions", loud_graph, "--text", TEXT, "--json").out)
    assert found == orchestra.load(loud_graph).contributions(TEXT).to_dict()


def test_a_prompt_is_read_with_its_answer(run: Run, loud_graph: Path) -> None:
    found = json.loads(run("contributions", loud_graph, "--prompt", TEXT, "--max-new-tokens", 3, "--json").out)
    model = orchestra.load(loud_graph)
    ids, num_prompt = written(model, TEXT, Sampling(max_new_tokens=3))
    assert num_prompt == found["prompt_length"] == 3
    assert [*found["tokens"][:1], *found["emitted"]] == [f"w{token}" for token in ids[0, :6].tolist()]


def test_a_heat_map_is_written_beside_the_table(run: Run, loud_graph: Path, tmp_path: Path) -> None:
    picture = tmp_path / "heat.svg"
    done = run("contributions", loud_graph, "--text", TEXT, "--output", picture)
    assert done.out.splitlines()[-1] == f"{picture}: written."
    assert "</svg>" in picture.read_text(encoding="utf-8")
    silent = run("contributions", loud_graph, "--text", TEXT, "--output", picture, "--json")
    assert json.loads(silent.out)["tokens"] == TEXT.split()


def test_a_picture_of_an_unknown_kind_is_refused_before_a_weight_is_loaded(run: Run, tmp_path: Path) -> None:
    done = run("contributions", tmp_path / "none.json", "--text", TEXT, "--output", "heat.bmp")
    assert (done.code, done.err) == (1, "heat.bmp: a picture ends in .png, .svg, .pdf.\n")


def test_one_text_is_needed(run: Run, loud_graph: Path) -> None:
    for texts in ((), ("--text", TEXT, "--prompt", TEXT)):
        done = run("contributions", loud_graph, *texts)
        assert done.code == 2
        assert "give one of --text and --prompt." in done.err
