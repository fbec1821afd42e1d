"""docs/explain.md says what is printed."""

import re
from pathlib import Path

import pytest
import torch

import orchestra
from orchestra.answers import Sampling, written
from orchestra.runtime.contributions import Contributions

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/explain.md").read_text(encoding="utf-8")
PROMPT = '<jtym> + tolu - len("abcd") ='
NUMBER = r"-?\d+\.\d\d"


@pytest.fixture(scope="module")
def found() -> Contributions:
    model = orchestra.load(ROOT / "graphs/trio.json")
    ids, num_prompt = written(model, PROMPT, Sampling(max_new_tokens=4))
    return model.contributions(ids[:, :-1], prompt_length=num_prompt)


def test_the_rows_are_those_of_the_shipped_graph(found: Contributions) -> None:
    block = PAGE.split("```text\n")[1].split("```")[0].splitlines()
    printed = str(found).splitlines()
    assert block[:2] == printed[:2]
    assert len(found.tokens) == 31
    for row in block[2:]:
        words, numbers = re.split(NUMBER, row)[0], [float(number) for number in re.findall(NUMBER, row)]
        near = [[float(number) for number in re.findall(NUMBER, line)] for line in printed if line.startswith(words)]
        assert any(one == pytest.approx(numbers, abs=0.03) for one in near), row


def test_each_augment_of_the_trio_is_loud_where_its_atom_ends_and_silent_elsewhere(found: Contributions) -> None:
    loud = {
        bridge.augment: [place for place, share in enumerate(bridge.share) if share > 0.5] for bridge in found.bridges
    }
    text = "".join(found.tokens)
    ends = {name: ["".join(found.tokens[: place + 1]) for place in places] for name, places in loud.items()}
    assert text.startswith(f"<|begin|>{PROMPT}")
    assert ends == {
        "kv": ["<|begin|><jtym>"],
        "tetum": ["<|begin|><jtym> + tolu "],
        "python": ['<|begin|><jtym> + tolu - len("abcd") '],
    }
    assert found.emitted[found.prompt_length - 1] == "25"
    assert min(lost[found.prompt_length - 1] for lost in found.lost.values()) > 5


def test_every_python_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    with torch.no_grad():
        exec(compile(block, "explain.md", "exec"), {})


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", PAGE))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / "docs" / target).exists()
