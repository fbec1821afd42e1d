"""Invariant 5: the order of the augments in the document changes nothing, to the bit."""

from itertools import permutations

import torch
from torch import Tensor

from orchestra import ComposedModel
from tests.tiny import compose, loud, model, pair, tokens

# The anchor is one that computes in its own dtype throughout: llama's norms round to fp32 and would hide a difference.
AUGMENTS = {"kv": "llama", "python": "falcon", "tetum": "qwen3"}


def states(composed: ComposedModel) -> list[Tensor]:
    out = composed(tokens(), output_hidden_states=True)
    return [*out.hidden_states, out.logits]


def test_permuting_the_augments_changes_no_bit() -> None:
    for dtype in (torch.float64, torch.float32):
        anchor = model("gpt2", dtype=dtype)
        models = {name: model(kind, seed=1, dtype=dtype) for name, kind in AUGMENTS.items()}
        together = {"bridges": {"pairs": [pair(1, 0), pair(0, 0)]}}  # six residuals into one sum
        with torch.no_grad():
            outcomes = []
            for order in [*permutations(AUGMENTS)][1::2]:
                parts = {name: (models[name], together) for name in order}
                outcomes.append(states(compose(anchor, dtype, fresh=False, **parts)))
        for other in outcomes[1:]:
            assert all(map(torch.equal, outcomes[0], other))
        assert (outcomes[0][-1] - anchor(tokens()).logits).abs().mean() > 0.1


def test_permuting_the_pairs_changes_no_bit() -> None:
    anchor, kv = model("gpt2"), model("falcon", seed=1)
    pairs = [pair(1, 0), pair(0, 0), pair(2, 0)]
    with torch.no_grad():
        one, two = (states(compose(anchor, kv=(kv, {"bridges": {"pairs": order}}))) for order in (pairs, pairs[::-1]))
    assert all(map(torch.equal, one, two))


def test_fresh_weights_are_those_of_the_site_whatever_the_order() -> None:
    anchor, kv, other = model("llama"), model("gpt2", seed=1), model("falcon", seed=1)
    one = compose(anchor, fresh=True, kv=kv, python=other).state_dict()
    two = compose(anchor, fresh=True, python=other, kv=kv).state_dict()
    assert all(torch.equal(weight, two[name]) for name, weight in one.items())
    assert one.keys() == two.keys()


def test_an_augment_that_is_off_leaves_the_terms_of_the_others_unchanged() -> None:
    anchor, kv = model("llama"), model("gpt2", seed=1)
    both = compose(anchor, kv=kv, python=model("falcon", seed=1))
    with torch.no_grad(), both.ablate("python"):
        assert torch.equal(both(tokens()).logits, loud(compose(anchor, kv=kv))(tokens()).logits)
