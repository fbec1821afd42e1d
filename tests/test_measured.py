import re

import pytest
import torch
from rich.console import Console

from orchestra import ComposedModel
from orchestra.cost.asked import Asked
from orchestra.cost.report import Cost, cost
from orchestra.errors import ComposeError
from orchestra.measured import Measurements, check_lengths, measure, tables
from tests.counted import shapes
from tests.mixed import anchors, characters
from tests.tiny import compose, model

ASKED = Asked(prompt_length=3, new_tokens=2)


@pytest.fixture(autouse=True)
def no_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is collected between two ways: in a process that ran many tests that takes longer than they do."""
    monkeypatch.setattr("gc.collect", lambda: 0)


def float32() -> ComposedModel:
    anchor, near = model("llama", dtype=torch.float32), model("gpt2", dtype=torch.float32)
    words = {"anchor": anchors(), "near": characters()}
    return compose(anchor, torch.float32, fresh=True, tokenizers=words, near=near)


def reckoned(composed: ComposedModel) -> Cost:
    return cost(composed.plan, shapes(composed), ASKED)


def test_every_way_has_its_time_its_ratio_and_its_memory() -> None:
    composed = float32()
    expected, found = reckoned(composed), measure(composed, reckoned(composed), rounds=2)
    assert (found.device, found.clock, found.rounds) == ("cpu", "CPU-seconds", 2)
    assert [row.kind for row in found.rows] == ["anchor", "augment", "composition", "lora", "separate"]
    for row in found.rows:
        assert row.prompt_s > 0
        assert row.token_s > 0
        assert row.prompt_times.least <= row.prompt_times.median <= row.prompt_times.most
        assert row.peak_bytes >= expected.rows[0].text_bytes
    assert (found.rows[0].prompt_times.least, found.rows[0].token_times.most) == (1.0, 1.0)
    gradients = {step.kind: step.gradient_bytes for step in expected.train}
    for step in found.train:
        assert step.peak_bytes >= gradients[step.kind]
    assert found.train[-1].times.median == 1.0
    in_a_hundred_columns(found)


def in_a_hundred_columns(found: Measurements) -> None:
    console = Console(width=100)
    with console.capture() as told:
        for part in tables(found):
            console.print(part)
    lines = told.get().splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("│" in line for line in lines) == len(found.rows) + len(found.train)
    assert lines[0] == "Measured on cpu, CPU-seconds, median of rounds: 2 (least-most)"
    (ratio,) = found.tokens_per_token.values()
    assert lines[-1] == f"near read {ratio:.3g} tokens for each of the anchor's (--tokens-per-token near={ratio:.3g})."


def test_a_text_that_a_model_has_no_positions_for_is_refused() -> None:
    message = "prompt_length 60 and new_tokens 9 make 70 tokens of {}, which has positions for 64; ask for less."
    told = "\n".join(message.format(name) for name in ("anchor", "near"))
    with pytest.raises(ComposeError, match=f"^{re.escape(told)}$"):
        check_lengths(float32(), Asked(prompt_length=60, new_tokens=9))


def test_without_peft_lora_is_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestra.measured.find_spec", lambda name: None)
    composed = float32()
    found = measure(composed, reckoned(composed), rounds=1)
    assert "lora" not in {*(row.kind for row in found.rows), *(step.kind for step in found.train)}
    assert found.notes == ("LoRA was not measured: pip install 'orchestra-lm[eval]' brings peft.",)
    assert "LoRA was not measured" in str([*tables(found)][-1])
