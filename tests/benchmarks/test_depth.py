"""The shipped chain: one model knows a key's number, the next the number's balance, the anchor how to compute."""

import random
from pathlib import Path

import orchestra
from benchmarks import depth
from orchestra import ComposedModel
from orchestra.lab.domain import Domain
from orchestra.lab.exercises import example, question
from orchestra.lab.measure import score

GRAPH = Path(__file__).parents[2] / "graphs/ledger.json"


def percent(model: ComposedModel, domain: Domain) -> float:
    rng = random.Random(2)
    asked = [example(question(rng, [domain], working=False)) for _ in range(20)]
    return score(model, model.tokenizer, asked).percent


def test_two_augments_in_a_row_answer_what_neither_knows() -> None:
    model = orchestra.load(GRAPH)
    assert percent(model, depth.KEYS_HELD_OUT) >= 70
    assert percent(model, depth.NUMBER) >= 90
    with model.ablate("kv"):
        assert percent(model, depth.KEYS_HELD_OUT) <= 10
        assert percent(model, depth.NUMBER) >= 90
    with model.ablate("ledger"):
        assert model.active == ()


def test_no_balance_that_is_held_out_is_shown_to_a_bridge() -> None:
    rng = random.Random(3)
    for _ in range(300):
        assert depth.TABLE.values[depth.KEYS.draw(rng, True)[2:-2]] not in depth.HELD_OUT
        assert depth.TABLE.values[depth.KEYS_HELD_OUT.draw(rng, False)[2:-2]] in depth.HELD_OUT
    assert sorted(depth.BALANCES) == list(range(100))
    assert len(depth.HELD_OUT) == 20
