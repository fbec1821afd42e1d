"""Invariant 8: a checkpoint named twice is in memory once, and a model may be anchor and augment at once."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import orchestra
from orchestra import ComposedModel
from tests.tiny import bridges, compose, document, generate, loud, model, tokens, watching


def test_a_folder_named_twice_is_loaded_once(tmp_path: Path) -> None:
    model("llama").save_pretrained(tmp_path / "digits")
    model("gpt2", seed=1).save_pretrained(tmp_path / "kv")
    graph = document({"kv": {}, "again": {}, "self": {}})
    graph["anchor"]["model"] = graph["augments"]["self"]["model"] = str(tmp_path / "digits")
    graph["augments"]["kv"]["model"] = graph["augments"]["again"]["model"] = str(tmp_path / "kv")
    composed = orchestra.load(graph)
    assert composed.augment("self") is composed.anchor
    assert composed.augment("again") is composed.augment("kv")
    alone = sum(weight.numel() for part in ("anchor",) for weight in getattr(composed, part).parameters())
    kv = sum(weight.numel() for weight in composed.augment("kv").parameters())
    own = sum(weight.numel() for bridge in bridges(composed) for weight in bridge.parameters())
    assert sum(weight.numel() for weight in composed.parameters()) == alone + kv + own


def test_one_folder_held_in_two_dtypes_is_two_models(tmp_path: Path) -> None:
    model("llama").save_pretrained(tmp_path)
    graph = document({"same": {"model": str(tmp_path)}, "small": {"model": str(tmp_path), "dtype": "bfloat16"}})
    graph["anchor"]["model"] = str(tmp_path)
    composed = orchestra.load(graph)
    assert composed.augment("same") is composed.anchor
    assert composed.augment("small") is not composed.anchor
    assert composed.augment("small").dtype == torch.bfloat16
    assert composed.stacks.to(torch.float64) is not None
    assert composed(tokens()).logits.dtype == torch.float64


def test_a_model_that_is_anchor_and_augment_runs_twice_and_is_bridged_once() -> None:
    anchor = model("llama")
    composed, twins = compose(anchor, own=anchor), compose(anchor, own=model("llama"))
    with torch.no_grad(), watching() as runs:
        logits = composed(tokens()).logits
    assert [runs(layer) for layer in anchor.model.layers] == [2, 2, 1]
    assert all(runs(bridge) == 1 for bridge in bridges(composed))
    with torch.no_grad():
        # Two copies cannot share anything by mistake: if bridges also acted in the reading run, this would differ.
        assert torch.equal(logits, twins(tokens()).logits)
        assert not torch.equal(logits, anchor(tokens()).logits)
    assert torch.equal(generate(composed, tokens()), generate(composed, tokens(), use_cache=False))


def test_one_model_as_two_augments_has_two_stacks() -> None:
    anchor, kv = model("llama"), model("gpt2", seed=1)
    composed = compose(anchor, one=kv, two=kv)
    assert composed.augment("one") is composed.augment("two")
    with torch.no_grad(), composed.only("one"):
        one = composed(tokens()).logits
    with torch.no_grad(), composed.only("two"):
        assert not torch.equal(composed(tokens()).logits, one)
    with torch.no_grad():
        assert torch.equal(one, loud(compose(anchor, one=model("gpt2", seed=1)))(tokens()).logits)


def test_a_shared_model_is_counted_once() -> None:
    anchor = model("llama")
    composed = compose(anchor, own=anchor, again=anchor)
    assert [cost.weight_bytes for cost in composed.plan.costs] == [0, 0]
    assert len({id(weight) for weight in composed.parameters()}) == len(list(composed.parameters()))
    stacks = [weight for _, weight in composed.trainable()]
    assert composed.num_parameters() == anchor.num_parameters() + sum(weight.numel() for weight in stacks)
    assert composed.num_parameters(only_trainable=True) == sum(weight.numel() for weight in stacks)
    sizes: list[Any] = [composed, anchor]
    assert sizes[0].get_memory_footprint() - sizes[1].get_memory_footprint() == sum(weight.nbytes for weight in stacks)
    held = {weight.untyped_storage().data_ptr(): weight.nbytes for weight in composed.state_dict().values()}
    alone = {weight.untyped_storage().data_ptr(): weight.nbytes for weight in anchor.state_dict().values()}
    assert sum(held.values()) == sum(alone.values()) + sum(weight.nbytes for weight in stacks)


def two_of_one(base: Path) -> ComposedModel:
    """Two augments from one folder."""
    model("llama").save_pretrained(base / "digits")
    model("gpt2", seed=1).save_pretrained(base / "kv")
    graph = document({"one": {"model": str(base / "kv")}, "two": {"model": str(base / "kv")}})
    graph["anchor"]["model"] = str(base / "digits")
    composed = orchestra.load(graph)
    composed.stacks.to(torch.float64)
    return loud(composed)


def test_two_augments_of_one_folder_share_each_weight_and_no_bridge(tmp_path: Path) -> None:
    composed = two_of_one(tmp_path)
    one, two = composed.augment("one"), composed.augment("two")
    assert [weight.data_ptr() for weight in one.parameters()] == [weight.data_ptr() for weight in two.parameters()]
    pointers = [{weight.data_ptr() for weight in composed.stack(name).parameters()} for name in ("one", "two")]
    assert not pointers[0] & pointers[1]
    assert [cost.weight_bytes == 0 for cost in composed.plan.costs] == [False, True]


def test_two_augments_of_one_folder_run_twice_and_are_switched_apart(tmp_path: Path) -> None:
    composed, seen = two_of_one(tmp_path), []
    lowest, words = composed.augment("one").get_submodule("transformer.h.0"), {"max_new_tokens": 3}
    for which in (("one", "two"), ("one",), ("two",), ()):
        with composed.only(*which), watching() as runs, torch.no_grad():
            seen.append(composed(tokens()).logits)
        assert runs(lowest) == len(which)
        assert [runs(composed.stack(name)) for name in ("one", "two")] == [
            int(name in which) for name in ("one", "two")
        ]
        with composed.only(*which):
            assert torch.equal(
                generate(composed, tokens(), **words), generate(composed, tokens(), use_cache=False, **words)
            )
    assert all(not torch.equal(a, b) for place, a in enumerate(seen) for b in seen[:place])


def test_an_anchor_that_reads_itself_learns_as_from_a_copy_and_keeps_its_bytes() -> None:
    anchor = model("llama")
    composed, twins = compose(anchor, own=anchor).train(), compose(model("llama"), own=model("llama")).train()
    before = {name: weight.clone() for name, weight in anchor.state_dict().items()}
    for which in (composed, twins):
        which(tokens(), labels=tokens()).loss.backward()
    for (name, found), (_, expected) in zip(composed.trainable(), twins.trainable(), strict=True):
        assert found.grad is not None
        assert expected.grad is not None
        assert found.grad.any(), name
        assert torch.equal(found.grad, expected.grad), name
    torch.optim.AdamW([weight for weight in composed.parameters() if weight.requires_grad], lr=0.1).step()
    assert all(torch.equal(weight, before[name]) for name, weight in anchor.state_dict().items())
    assert all(weight.grad is None for weight in anchor.parameters())


def test_an_anchor_that_reads_itself_saves_its_bridges_alone(tmp_path: Path) -> None:
    anchor = model("llama", dtype=torch.float32)
    composed = compose(anchor, torch.float32, own=anchor)
    composed.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "own" / "bridge_model.safetensors")
    assert sum(weight.nbytes for weight in saved.values()) == sum(weight.nbytes for _, weight in composed.trainable())
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_an_anchor_that_reads_itself_steps_as_it_runs_whole() -> None:
    anchor, ids = model("gpt2"), tokens()
    composed = compose(anchor, own=anchor)
    with torch.no_grad():
        whole, cache = composed(ids).logits, None
        for new, start in ((ids[:, :7], 0), (ids[:, 7:8], 7), (ids[:, 8:], 8)):
            step = composed(new, past_key_values=cache, use_cache=True)
            cache = step.past_key_values
            expected = whole[:, start : start + new.shape[1]]
            torch.testing.assert_close(step.logits, expected, rtol=0, atol=1e-9)
    for words in ({"num_beams": 3}, {"num_beams": 2, "num_return_sequences": 2}):
        assert torch.equal(generate(composed, ids, **words), generate(composed, ids, use_cache=False, **words))
