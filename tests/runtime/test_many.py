"""The invariants with 1, 2, 4, 8 and 16 augments in one graph, and that each costs what the one before it did."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from orchestra import ComposedModel
from tests.tiny import LENGTH, compose, generate, model, pair, tokens, watching

COUNTS = (1, 2, 4, 8, 16)
KINDS = ("gpt2", "falcon", "qwen3", "gpt_neox")
many = pytest.mark.parametrize("num_augments", COUNTS)


@cache
def part(index: int, kind: str) -> PreTrainedModel:
    """One augment of its own weights; composing does not change it."""
    return model(kind, seed=1 + index)


@cache
def anchor() -> PreTrainedModel:
    return model("gpt2")  # computes in its own dtype throughout: no norm in fp32 hides a bit


def parts(num_augments: int) -> dict[str, tuple[PreTrainedModel, dict[str, Any]]]:
    """Augments of several architectures, two bridges each; their names are not sorted."""
    names = [f"{'zyxw'[index % 4]}{index}" for index in range(num_augments)]
    two = {"bridges": {"pairs": [pair(0, "embedding"), pair(1, 1)]}}
    return {name: (part(index, KINDS[index % 4]), two) for index, name in enumerate(names)}


def composition(num_augments: int, *, fresh: bool = False) -> ComposedModel:
    return compose(anchor(), fresh=fresh, **parts(num_augments))


def ragged() -> dict[str, Tensor]:
    """A left-padded batch."""
    ids, mask = tokens(2), torch.ones(2, LENGTH, dtype=torch.long)
    mask[1, :4] = 0
    return {"ids": ids * mask, "attention_mask": mask}


@many
def test_fresh_bridges_are_silent(num_augments: int) -> None:
    composed = composition(num_augments, fresh=True)
    with torch.no_grad():
        assert torch.equal(composed(tokens()).logits, anchor()(tokens()).logits)
    assert torch.equal(generate(composed, tokens()), generate(anchor(), tokens()))


@many
def test_the_order_of_augments_changes_no_bit(num_augments: int) -> None:
    given = parts(num_augments)
    with torch.no_grad():
        one = composition(num_augments)(tokens(), output_hidden_states=True)
        other = compose(anchor(), fresh=False, **dict(reversed(given.items())))(tokens(), output_hidden_states=True)
    assert torch.equal(one.logits, other.logits)
    assert all(map(torch.equal, one.hidden_states, other.hidden_states))
    assert (one.logits - anchor()(tokens()).logits).abs().mean() > 0.1


@many
def test_each_augment_is_switched_apart_and_is_not_run_while_off(num_augments: int) -> None:
    composed = composition(num_augments)
    with torch.no_grad():
        whole = composed(tokens()).logits
        for off in composed.active:
            with composed.ablate(off), watching() as runs:
                without = composed(tokens()).logits
            for name in parts(num_augments):
                assert runs(composed.augment(name)) == runs(composed.stack(name)) == int(name != off)
            assert not torch.equal(without, whole)
        assert torch.equal(composed(tokens()).logits, whole)
        composed.disable(*composed.active)
        with watching() as runs:
            assert torch.equal(composed(tokens()).logits, anchor()(tokens()).logits)
        assert not any(runs(composed.augment(name)) for name in parts(num_augments))


@many
def test_an_augment_alone_among_many_is_as_in_a_graph_of_its_own(num_augments: int) -> None:
    composed, last = composition(num_augments), list(parts(num_augments))[-1]
    with torch.no_grad(), composed.only(last):
        alone = compose(anchor(), fresh=False, **{last: parts(num_augments)[last]})
        assert torch.equal(composed(tokens()).logits, alone(tokens()).logits)


@many
def test_cached_equals_uncached(num_augments: int) -> None:
    composed, batch = composition(num_augments), ragged()
    ids, mask = batch["ids"], batch["attention_mask"]
    with torch.no_grad():
        whole, cache, logits = composed(ids, attention_mask=mask).logits, None, []
        for new, seen in zip(ids.split([5, 1, 1, 4], dim=1), (5, 6, 7, 11), strict=True):
            step = composed(new, attention_mask=mask[:, :seen], past_key_values=cache, use_cache=True)
            cache = step.past_key_values
            logits.append(step.logits)
    torch.testing.assert_close(torch.cat(logits, 1)[mask.bool()], whole[mask.bool()], rtol=0, atol=1e-9)


@many
@pytest.mark.parametrize("ways", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_generation_is_the_same_with_and_without_a_cache(num_augments: int, ways: dict[str, Any]) -> None:
    composed, words = composition(num_augments), {**ragged(), **ways, "max_new_tokens": 3}
    assert torch.equal(generate(composed, **words), generate(composed, **words, use_cache=False))


@many
def test_every_bridge_learns(num_augments: int) -> None:
    composed = composition(num_augments).train()
    composed(tokens(), labels=tokens()).loss.backward()
    assert all(weight.grad is not None and weight.grad.any() for _, weight in composed.trainable())
    assert len([*composed.trainable()]) == num_augments * len([*composed.stack("z0").parameters()])


class Operators(TorchDispatchMode):
    """Counts what torch is asked to compute."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def operators(num_augments: int) -> tuple[int, int, int]:
    """What a forward, a cached step and a training step ask for; all augments are of one kind."""
    composed = compose(anchor(), fresh=False, **{f"a{index}": part(index, "gpt2") for index in range(num_augments)})
    with torch.no_grad(), Operators() as whole:
        cache = composed(tokens()).past_key_values
    with torch.no_grad(), Operators() as step:
        composed(tokens(2, 1), past_key_values=cache)
    with Operators() as training:
        composed.train()(tokens(), labels=tokens()).loss.backward()
    return whole.count, step.count, training.count


def test_every_augment_costs_the_same_number_of_operators() -> None:
    measured = {num_augments: torch.tensor(operators(num_augments)) for num_augments in COUNTS}
    each = measured[2] - measured[1]
    assert (each > 100).all()
    for num_augments in COUNTS:
        assert torch.equal(measured[num_augments], measured[1] + (num_augments - 1) * each), num_augments
