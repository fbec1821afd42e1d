import json
from pathlib import Path

import pytest

import orchestra
from orchestra.answers import Sampling, answer
from tests.cli.conftest import Run

PROMPT = "w5 w7 w11"
ASK = ("--prompt", PROMPT, "--max-new-tokens", 5)


@pytest.fixture(scope="module")
def expected(loud_graph: Path) -> dict[tuple[str, ...], str]:
    """The answer for every set of augments."""
    model = orchestra.load(loud_graph)
    found: dict[tuple[str, ...], str] = {}
    for names in ((), ("kv",), ("tetum",), ("kv", "tetum")):
        with model.only(*names):
            found[names] = answer(model, PROMPT, Sampling(max_new_tokens=5)).text
    assert len(set(found.values())) == 4
    return found


@pytest.mark.parametrize(
    ("options", "on"),
    [
        ((), ("kv",)),
        (("--without", "kv"), ()),
        (("--only", "tetum"), ("tetum",)),
        (("--only", "kv", "--only", "tetum"), ("kv", "tetum")),
        (("--only", "kv", "--only", "tetum", "--without", "kv"), ("tetum",)),
    ],
)
def test_a_prompt_is_continued_with_the_augments_that_are_asked_for(
    run: Run, loud_graph: Path, expected: dict[tuple[str, ...], str], options: tuple[str, ...], on: tuple[str, ...]
) -> None:
    done = run("generate", loud_graph, *ASK, *options)
    assert (done.code, done.out, done.err) == (0, f"{expected[on]}\n", "")


def test_the_answer_as_json_says_what_was_on(run: Run, loud_graph: Path, expected: dict[tuple[str, ...], str]) -> None:
    done = run("generate", loud_graph, *ASK, "--json")
    assert json.loads(done.out) == {"prompt": PROMPT, "on": ["kv"], "text": expected["kv",]}


def test_a_seed_decides_what_is_sampled(run: Run, loud_graph: Path) -> None:
    def sampled(seed: int) -> str:
        return run("generate", loud_graph, *ASK, "--sample", "--temperature", 3, "--seed", seed).out

    assert sampled(2) == sampled(2) != sampled(3)


@pytest.mark.parametrize("option", ["--only", "--without"])
def test_an_augment_that_is_not_there_is_refused(run: Run, loud_graph: Path, option: str) -> None:
    done = run("generate", loud_graph, *ASK, option, "vk")
    assert (done.code, done.out) == (1, "")
    assert done.err == "no augment is called 'vk'; this model has kv, tetum.\n"
