import re
from typing import Any

import pytest
import torch

from orchestra import ComposedModel
from orchestra.cost.asked import Asked
from orchestra.cost.report import cost
from orchestra.errors import ComposeError
from orchestra.measured import Measurements, check_lengths, measure, tables
from tests.counted import shapes
from tests.mixed import anchors, characters
from tests.tiny import compose, model

ASKED = Asked(prompt_length=3, new_tokens=2)


def float32(**more: Any) -> ComposedModel:
    anchor, near = model("llama", dtype=torch.float32), model("gpt2", dtype=torch.float32)
    return compose(anchor, torch.float32, near=near, **more)


def measured(composed: ComposedModel, rounds: int = 2) -> Measurements:
    return measure(composed, cost(composed.plan, shapes(composed), ASKED), rounds=rounds)


def test_every_way_has_its_time_its_ratio_and_its_memory() -> None:
    composed = float32()
    found, reckoned = measured(composed), cost(composed.plan, shapes(composed), ASKED)
    assert (found.device, found.clock, found.rounds) == ("cpu", "CPU-seconds", 2)
    assert [row.kind for row in found.rows] == ["anchor", "augment", "composition", "lora", "separate"]
    kept = {row.kind: row.text_bytes for row in reckoned.rows}
    for row in found.rows:
        assert row.prompt_s > 0
        assert row.token_s > 0
        assert row.prompt_times.least <= row.prompt_times.median <= row.prompt_times.most
        if row.kind in ("anchor", "composition"):
            assert row.peak_bytes >= kept[row.kind]
    assert (found.rows[0].prompt_times.least, found.rows[0].token_times.most) == (1.0, 1.0)
    gradients = {step.kind: step.gradient_bytes for step in reckoned.train}
    for step in found.train:
        assert step.peak_bytes >= gradients[step.kind]
    assert found.train[-1].times.median == 1.0


def test_it_is_told_in_a_hundred_columns() -> None:
    from rich.console import Console

    console = Console(width=100, record=True, file=None, quiet=True)
    composed = compose(
        model("llama"), fresh=True, tokenizers={"anchor": anchors(), "near": characters()}, near=model("gpt2")
    )
    found = measured(composed, rounds=1)
    with console.capture() as told:
        console.quiet = False
        for part in tables(found):
            console.print(part)
    lines = told.get().splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("│" in line for line in lines) == len(found.rows) + len(found.train)
    assert lines[0] == "Measured on cpu, CPU-seconds, median of rounds: 1 (least to most)"
    (ratio,) = found.tokens_per_token.values()
    assert lines[-1] == f"near read {ratio:.3g} tokens for each of the anchor's (--tokens-per-token near={ratio:.3g})."


def test_a_text_that_a_model_has_no_positions_for_is_refused() -> None:
    message = "prompt_length 60 and new_tokens 9 make 70 tokens of {}, which has positions for 64; ask for less."
    told = "\n".join(message.format(name) for name in ("anchor", "near"))
    with pytest.raises(ComposeError, match=f"^{re.escape(told)}$"):
        check_lengths(float32(), Asked(prompt_length=60, new_tokens=9))


def test_without_peft_lora_is_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestra.measured.find_spec", lambda name: None)
    found = measured(float32(), rounds=1)
    assert "lora" not in {*(row.kind for row in found.rows), *(step.kind for step in found.train)}
    assert found.notes == ("LoRA was not measured: pip install 'orchestra-lm[eval]' brings peft.",)
    assert "LoRA was not measured" in str([*tables(found)][-1])
