"""Invariant 5: the order of the augments in the document changes nothing, to the bit."""

from itertools import permutations

import torch

from tests.tiny import compose, loud, model, pair, tokens

AUGMENTS = {"kv": "gpt2", "python": "falcon", "tetum": "qwen3"}


def test_permuting_the_augments_changes_no_bit() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        anchor = model("llama", dtype=dtype)
        models = {name: model(kind, seed=1, dtype=dtype) for name, kind in AUGMENTS.items()}
        together = {"bridges": {"pairs": [pair(1, 0), pair(0, 0)]}}  # six residuals into one sum
        with torch.no_grad():
            first, *others = [
                compose(anchor, dtype, fresh=False, **{name: (models[name], together) for name in order})(
                    tokens()
                ).logits
                for order in [*permutations(AUGMENTS)][1::2]
            ]
        assert all(torch.equal(first, other) for other in others)
        assert (first - anchor(tokens()).logits).abs().mean() > 0.1


def test_permuting_the_pairs_changes_no_bit() -> None:
    anchor, kv = model("llama"), model("gpt2", seed=1)
    pairs = [pair(1, 0), pair(0, 0), pair(2, 0)]
    with torch.no_grad():
        one, two = (
            compose(anchor, kv=(kv, {"bridges": {"pairs": order}}))(tokens()).logits for order in (pairs, pairs[::-1])
        )
    assert torch.equal(one, two)


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
