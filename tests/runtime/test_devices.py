"""Models of one graph held in different dtypes, and on different devices."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import orchestra
from orchestra import ComposedModel
from tests import folders
from tests.tiny import PAIRS, bridges, compose, generate, loud, model, pair, tokens

# -- dtypes ---------------------------------------------------------------------------------------------------------

MIXED = [
    (torch.float32, torch.bfloat16),
    (torch.bfloat16, torch.float32),
    (torch.float64, torch.float32),
    (torch.float32, torch.float64),
    (torch.float16, torch.bfloat16),
]
mixed = pytest.mark.parametrize(("anchor", "augment"), MIXED, ids=lambda dtype: str(dtype).removeprefix("torch."))


def held(anchor: torch.dtype, augment: torch.dtype, **fields: Any) -> ComposedModel:
    """A composition whose models are held so; bridges are in fp32, as they are loaded."""
    kv, llama = model("gpt2", seed=1), model("llama")
    for held_in, each in ((augment, kv), (anchor, llama)):
        nn.Module.to(each, held_in)
    return compose(llama, torch.float32, kv=(kv, fields))


def coarse(*dtypes: torch.dtype) -> float:
    """A few tens of the coarsest of these dtypes' steps: how far a composition may stray."""
    return 32 * max(torch.finfo(dtype).eps for dtype in dtypes)


@mixed
def test_logits_are_in_the_anchor_s_dtype_and_near_the_exact_ones(anchor: torch.dtype, augment: torch.dtype) -> None:
    composed, exact = held(anchor, augment), held(torch.float64, torch.float64)
    exact.stacks.to(torch.float64)
    with torch.no_grad():
        logits, expected = composed(tokens()).logits, exact(tokens()).logits
        assert logits.dtype == anchor
        atol = coarse(anchor, augment, torch.float32)
        torch.testing.assert_close(logits.double(), expected, rtol=0, atol=atol)
        assert (exact.anchor(tokens()).logits - expected).abs().mean() > 0.1


@mixed
def test_residuals_are_in_the_bridge_s_dtype_and_summed_in_fp32_or_better(
    anchor: torch.dtype, augment: torch.dtype
) -> None:
    composed, added = held(anchor, augment, bridges={"pairs": [pair(0, 0), pair(1, 0)]}), []
    for bridge in bridges(composed):
        bridge.register_forward_hook(lambda *seen: added.append(seen[2]))
    with torch.no_grad():
        states = composed(tokens(), output_hidden_states=True).hidden_states
        plain = composed.anchor(tokens(), output_hidden_states=True).hidden_states
    wide = torch.promote_types(anchor, torch.float32)
    assert [residual.dtype for residual in added] == [torch.float32] * 2
    assert torch.equal(states[1], (plain[1].to(wide) + (added[0].to(wide) + added[1].to(wide))).to(anchor))
    assert not torch.equal(states[1], plain[1])


@mixed
def test_cached_equals_uncached_as_far_as_the_dtypes_tell(anchor: torch.dtype, augment: torch.dtype) -> None:
    composed = held(anchor, augment)
    written: Any = generate(composed, tokens(), return_dict_in_generate=True, output_logits=True)
    with torch.no_grad():
        whole = composed(written.sequences, use_cache=False).logits[:, -6:-1]
    stepped = torch.stack(written.logits, dim=1)
    torch.testing.assert_close(stepped.double(), whole.double(), rtol=0, atol=coarse(anchor, augment, torch.float32))
    cache = written.past_key_values
    assert cache.layers[0].keys.dtype == anchor
    assert cache.augments["kv"].layers[0].keys.dtype == augment
    assert cache.bridges["kv"].layers[0].keys.dtype == torch.float32


@mixed
def test_a_step_of_training_moves_bridges_in_fp32_and_nothing_else(anchor: torch.dtype, augment: torch.dtype) -> None:
    composed = held(anchor, augment).train()
    before = {name: weight.clone() for name, weight in composed.state_dict().items()}
    optimizer = torch.optim.AdamW([weight for _, weight in composed.trainable()], lr=0.1)
    composed(tokens(), labels=tokens()).loss.backward()
    for _, weight in composed.trainable():
        assert weight.grad is not None
        assert weight.grad.dtype == torch.float32
        assert weight.grad.isfinite().all()
    optimizer.step()
    changed = {name for name, weight in composed.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed == {name for name, _ in composed.trainable()}


def test_dtypes_of_a_document_are_those_of_the_models(tmp_path: Path) -> None:
    folders.checkpoint(tmp_path / "anchor")
    folders.checkpoint(tmp_path / "kv", "gpt2", seed=1)
    document = folders.document(kv={"dtype": "bfloat16", "bridges": {"pairs": PAIRS}})
    for dtype, expected in (("auto", torch.float32), ("float64", torch.float64), ("bfloat16", torch.bfloat16)):
        document["anchor"]["dtype"] = dtype
        composed = orchestra.load(folders.graph(tmp_path / "graph.json", document))
        assert (composed.anchor.dtype, composed.augment("kv").dtype) == (expected, torch.bfloat16)
        assert {weight.dtype for _, weight in composed.trainable()} == {torch.float32}
        with torch.no_grad():
            assert loud(composed)(tokens()).logits.dtype == expected


# -- devices --------------------------------------------------------------------------------------------------------


def faked() -> FakeTensorMode:
    """Has an operator work out shapes and devices only; torch refuses one over two devices there too."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def eager(into: Any = None, **augments: str) -> ComposedModel:
    """A composition whose models look at no value to choose a kernel: there may be none."""
    models = {name: model(kind, seed=1, dtype=torch.float32) for name, kind in augments.items()}
    anchor = model("llama", dtype=torch.float32)
    for each in (anchor, *models.values()):
        each.set_attn_implementation("eager")
    parts: Any = {name: (each, {"into": (into or {}).get(name, ["anchor"])}) for name, each in models.items()}
    return compose(anchor, torch.float32, fresh=False, **parts)


def test_shapes_flow_through_a_composition_without_values() -> None:
    composed = eager(kv="gpt2", far="qwen3")
    nn.Module.to(composed, "meta")
    ids, mask = tokens().to("meta"), torch.ones(2, 12, device="meta")
    assert composed.device == torch.device("meta")
    whole = composed(ids, attention_mask=mask[:, :11], labels=ids)
    step = composed(ids[:, :1], attention_mask=mask, past_key_values=whole.past_key_values)
    assert (whole.logits.shape, step.logits.shape) == ((2, 11, 97), (2, 1, 97))
    assert {tensor.device.type for tensor in (whole.logits, whole.loss, step.logits)} == {"meta"}
    assert step.past_key_values.get_seq_length() == 12


def place(of: nn.Module, device: str, mode: FakeTensorMode) -> None:
    """Have a module's weights keep shape and dtype, and for a place this device, but no values."""
    for module in of.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                fake = mode.from_tensor(weight.data)
                with mode:
                    placed = fake.to(device)
                module._parameters[name] = nn.Parameter(placed, requires_grad=weight.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                fake = mode.from_tensor(buffer)
                with mode:
                    module._buffers[name] = fake.to(device)


@pytest.mark.parametrize(("anchor", "augment"), [("cpu", "meta"), ("meta", "cpu")])
def test_each_model_runs_on_its_own_device_and_bridges_on_the_anchor_s(anchor: str, augment: str) -> None:
    """Torch refuses an operator over two devices, also where it only works out shapes; any two will do."""
    composed, mode = eager(kv="gpt2", far="qwen3"), faked()
    for part in (composed.anchor, composed.stacks, composed.augment("far")):
        place(part, anchor, mode)
    place(composed.augment("kv"), augment, mode)
    composed.__setstate__(composed.__getstate__())  # views anew, over the weights as they are now
    given: list[str] = []

    def note(_: nn.Module, __: Any, arguments: dict[str, Any]) -> None:
        given.extend(value.device.type for value in arguments.values() if isinstance(value, Tensor))

    composed._runner._augments["kv"].model.register_forward_pre_hook(note, with_kwargs=True)
    with mode:
        ids, mask = torch.ones(2, 11, dtype=torch.long, device=anchor), torch.ones(2, 11, device=anchor)
        out = composed(ids, attention_mask=mask, labels=ids)
        cache, here = out.past_key_values, torch.device(anchor)
        assert out.logits.device == out.loss.device == composed.device == here
        assert cache.augments["kv"].layers[0].keys.device == torch.device(augment)
        assert cache.augments["far"].layers[0].keys.device == here
        assert cache.bridges["kv"].layers[0].keys.device == here
        cache.reorder_cache(torch.tensor([1, 0], device=anchor))
        cache.batch_repeat_interleave(2)
        cache.batch_select_indices(torch.tensor([0, 3], device=anchor))
        assert composed(ids[:, :1], past_key_values=cache).logits.device == here
        composed.train()(ids, labels=ids).loss.backward()
        assert {weight.grad.device for _, weight in composed.trainable() if weight.grad is not None} == {here}
    assert given == [augment] * 9  # ids, mask and positions, three times


@pytest.mark.parametrize("apart", ["anchor", "first", "second"])
def test_bridges_into_an_augment_are_on_that_augment_s_device(apart: str) -> None:
    """first -> second -> anchor and first -> anchor; one of them is on another device than the others."""
    where = {**dict.fromkeys(("anchor", "first", "second"), "cpu"), apart: "meta"}
    composed, mode = eager(first="gpt2", second="qwen3", into={"first": ["second", "anchor"]}), faked()
    place(composed.anchor, where["anchor"], mode)
    for name in ("first", "second"):
        place(composed.augment(name), where[name], mode)
    for stack in composed.plan.graph.stacks:
        place(composed.stack(stack.augment, stack.into), where[stack.into], mode)
    composed.__setstate__(composed.__getstate__())  # views anew, over the weights as they are now
    with mode:
        ids = torch.ones(2, 11, dtype=torch.long, device=where["anchor"])
        mask = torch.ones(2, 11, device=where["anchor"])
        for padded in (None, mask):
            out = composed(ids, attention_mask=padded, labels=ids)
            cache, here = out.past_key_values, torch.device(where["anchor"])
            assert out.logits.device == out.loss.device == here
            held = [layer.keys.device.type for layer in cache.bridges["first"].layers]
            assert held == [where["second"]] * 3 + [where["anchor"]] * 3
            cache.reorder_cache(torch.tensor([1, 0], device=here))
            cache.batch_repeat_interleave(2)
            assert composed(torch.cat([ids, ids])[:, :3], past_key_values=cache).logits.device == here
        for recompute in (False, True):
            if recompute:
                composed.gradient_checkpointing_enable()
            composed.zero_grad()
            composed.train()(ids, labels=ids).loss.backward()
            for stack in composed.plan.graph.stacks:
                weights = composed.stack(stack.augment, stack.into).parameters()
                found = {str(weight.grad.device) for weight in weights if weight.grad is not None}
                assert found == {where[stack.into]}


# -- on an accelerator ----------------------------------------------------------------------------------------------


def on_two_devices(test: Any) -> Any:
    """Run a test for an anchor and an augment on these devices, where torch sees a GPU."""
    for mark in (
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
        pytest.mark.parametrize(("anchor", "augment"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")]),
    ):
        test = mark(test)
    return test


def spread(base: Path, anchor: str, augment: str) -> tuple[ComposedModel, ComposedModel]:
    """A composition of folders over two devices, and the same on the CPU."""
    folders.checkpoint(base / "anchor", dtype=torch.float64)
    folders.checkpoint(base / "kv", "gpt2", seed=1, dtype=torch.float64)
    both = []
    for first, second in ((anchor, augment), ("cpu", "cpu")):
        document = folders.document(kv={"device": second, "bridges": {"pairs": PAIRS}})
        document["anchor"]["device"] = first
        composed = orchestra.load(folders.graph(base / "graph.json", document))
        composed.stacks.to(torch.float64)
        both.append(loud(composed))
    return both[0], both[1]


def ragged() -> tuple[Tensor, Tensor]:
    """A left-padded batch."""
    ids, mask = tokens(2), torch.ones_like(tokens(2))
    mask[1, :4] = 0
    return ids * mask, mask


@on_two_devices
def test_a_composition_over_two_devices_answers_as_on_one(anchor: str, augment: str, tmp_path: Path) -> None:
    composed, alone = spread(tmp_path, anchor, augment)
    (ids, mask), there = ragged(), composed.device
    assert (there.type, composed.augment("kv").device.type) == (anchor, augment)
    with torch.no_grad():
        found = composed(ids.to(there), attention_mask=mask.to(there)).logits
        expected = alone(ids, attention_mask=mask).logits
    torch.testing.assert_close(found.cpu()[mask.bool()], expected[mask.bool()], rtol=0, atol=1e-9)
    for words in ({}, {"num_beams": 3}, {"use_cache": False}, {"num_beams": 2, "num_return_sequences": 2}):
        written = generate(composed, ids.to(there), attention_mask=mask.to(there), **words)
        assert torch.equal(written.cpu(), generate(alone, ids, attention_mask=mask, **words))
    with composed.ablate("kv"):
        silent = generate(composed, ids.to(there), attention_mask=mask.to(there))
    assert torch.equal(silent, generate(composed.anchor, ids.to(there), attention_mask=mask.to(there)))


@on_two_devices
@pytest.mark.parametrize("recompute", [False, True])
def test_a_composition_over_two_devices_learns_as_on_one(
    anchor: str, augment: str, recompute: bool, tmp_path: Path
) -> None:
    composed, alone = spread(tmp_path, anchor, augment)
    for which in (composed, alone):
        if recompute:
            which.gradient_checkpointing_enable()
        ids = tokens().to(which.device)
        which.train()(ids, labels=ids).loss.backward()
    for (_, found), (_, expected) in zip(composed.trainable(), alone.trainable(), strict=True):
        assert found.grad is not None
        assert expected.grad is not None
        torch.testing.assert_close(found.grad.cpu(), expected.grad, rtol=0, atol=1e-9)


@on_two_devices
def test_bridges_that_are_saved_come_back_on_any_device(anchor: str, augment: str, tmp_path: Path) -> None:
    composed, _ = spread(tmp_path, anchor, augment)
    composed.stacks.float()
    composed.save_bridges(tmp_path / "saved")
    document = folders.document(kv={"bridges": "saved/kv", "device": "cpu"})
    document["anchor"]["device"] = "cpu"
    again = orchestra.load(folders.graph(tmp_path / "graph.json", document))
    for (_, one), (_, other) in zip(again.trainable(), composed.trainable(), strict=True):
        assert torch.equal(one, other.cpu())
