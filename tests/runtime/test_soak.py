"""Long use: memory stays flat, failures anywhere leave no trace, and threads get their own answers."""

import gc
import random
import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.utils import output_capturing

from orchestra import ComposedModel
from orchestra.runtime import schedule, toggles
from tests.tiny import bridges, compose, generate, model, pair, tokens


def composition() -> ComposedModel:
    small = {"bridges": {"pairs": [pair(0, 0), pair(1, 1)]}}
    return compose(model("llama"), near=(model("gpt2", seed=1), small), far=(model("gpt_neox", seed=2), small))


# -- memory ---------------------------------------------------------------------------------------------------------


def go_on(composed: ComposedModel, ids: Tensor) -> None:
    """Write, then write on from the cache that came back."""
    first: Any = generate(composed, ids, max_new_tokens=2, return_dict_in_generate=True)
    generate(
        composed,
        torch.cat([first.sequences, ids[:, :2]], dim=1),
        max_new_tokens=2,
        past_key_values=first.past_key_values,
    )


def ablated(composed: ComposedModel, ids: Tensor) -> None:
    with composed.ablate("near"):
        generate(composed, ids, max_new_tokens=2)


def padded(composed: ComposedModel, ids: Tensor) -> None:
    mask = torch.ones_like(ids)
    mask[-1, :2] = 0
    generate(composed, ids, attention_mask=mask, max_new_tokens=2)


def ways(**words: Any) -> Callable[[ComposedModel, Tensor], object]:
    return lambda composed, ids: generate(composed, ids, **{"max_new_tokens": 2, **words})


KINDS: list[Callable[[ComposedModel, Tensor], object]] = [
    ways(),
    ways(do_sample=True),
    ways(num_beams=2),
    ways(do_sample=True, num_return_sequences=2),
    ways(num_beams=3, num_return_sequences=3),
    ways(use_cache=False),
    ways(prefill_chunk_size=2),
    ways(return_dict_in_generate=True, output_hidden_states=True, output_logits=True),
    lambda composed, ids: generate(composed, ids[:1], max_new_tokens=2, prompt_lookup_num_tokens=2),
    lambda composed, ids: generate(composed, ids[:1], max_new_tokens=2, assistant_model=composed.anchor),
    go_on,
    ablated,
    padded,
]


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


def soak(composed: ComposedModel, num_calls: int) -> None:
    """Calls of every kind, with 1 to 3 rows of 4 to 9 tokens."""
    for call in range(num_calls):
        KINDS[call % len(KINDS)](composed, tokens(1 + call % 3, 4 + call % 6, seed=call))


def grown(num_calls: int, *, warm: int, windows: int = 1) -> tuple[int, int, int]:
    """What calls leave behind, after `warm` others: tensors, Python's blocks of memory, and bytes of the process.

    Of several windows of so many calls, the least of each: what is filled once, such as a table of the interpreter's,
    grows in some of them, a leak in all.
    """
    composed = composition()
    soak(composed, warm)
    found = []
    for _ in range(windows):
        tensors, blocks, num_bytes = live_tensors(), sys.getallocatedblocks(), resident_bytes()
        soak(composed, num_calls)
        gc.collect()
        num_bytes = resident_bytes() - num_bytes  # before a list of all objects is made
        found.append((live_tensors() - tensors, sys.getallocatedblocks() - blocks, num_bytes))
    least = [min(each) for each in zip(*found, strict=True)]
    return least[0], least[1], least[2]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_generations_of_all_kinds_leave_nothing() -> None:
    tensors, blocks, _ = grown(52, warm=52, windows=4)
    assert tensors == 0
    assert blocks < 52  # not one small object for each call


@pytest.mark.slow
def test_two_thousand_generations_of_all_kinds_leave_nothing() -> None:
    tensors, blocks, num_bytes = grown(2000, warm=520)  # the allocator takes a few hundred calls to settle
    print(f"after 2,000 calls: {tensors} tensors, {blocks:,} blocks of Python's, {num_bytes:,} bytes of the process")
    assert tensors == 0
    assert blocks < 1000
    assert num_bytes < 8_000_000  # less than a cache for each call; a table of the interpreter's own may grow by 4 MB


# -- failures -------------------------------------------------------------------------------------------------------


class Broken(Exception):
    pass


def places(composed: ComposedModel) -> list[nn.Module]:
    """Every module that can fail: those of the views, and the bridges with all that is in them."""
    views = [composed._runner._anchor.model, *(part.model for part in composed._runner._augments.values())]
    return [module for of in (*views, *bridges(composed)) for module in of.modules()]


def hooks(composed: ComposedModel) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in places(composed))


def learn(composed: ComposedModel) -> None:
    """A step with its activations recomputed, so that it may fail in the backward pass, too."""
    composed.train().gradient_checkpointing_enable()
    try:
        composed(tokens(), labels=tokens()).loss.backward()
    finally:
        composed.zero_grad()
        composed.train(False).gradient_checkpointing_disable()


def step_on(composed: ComposedModel) -> None:
    with torch.no_grad():
        composed(tokens(2, 1), past_key_values=composed(tokens()).past_key_values)


def see(composed: ComposedModel) -> None:
    with composed.ablate("far"):
        composed(tokens(3, 5), output_hidden_states=True)


def write(composed: ComposedModel) -> None:
    generate(composed, tokens(), num_beams=2, max_new_tokens=2)


def break_on(module: nn.Module, call: int) -> Any:
    """Have a module fail when it is called for the n-th time, until the handle is removed."""
    calls = iter(range(1, 10_000))

    def hook(*_: Any) -> None:
        if next(calls) == call:
            raise Broken

    return module.register_forward_pre_hook(hook)


def test_failures_in_any_part_leave_no_trace() -> None:
    composed, draw = composition(), random.Random(7)
    modules, actions = places(composed), (learn, step_on, see, write)
    for action in actions:
        action(composed)
    with torch.no_grad():
        clean = composed(tokens()).logits
    before, hooked, broke = live_tensors(), hooks(composed), 0
    for turn in range(200):
        handle = break_on(draw.choice(modules), draw.choice([1, 1, 2, 3]))
        try:
            actions[turn % len(actions)](composed)
        except Broken:
            broke += 1
        handle.remove()
        assert schedule._current.get() is None
        assert toggles._blocks.get() == ()
        assert output_capturing._active_collector.get() is None
        assert torch.is_grad_enabled()
        assert composed.active == ("far", "near")
        if turn % 10 == 0:
            with torch.no_grad():
                assert torch.equal(composed(tokens()).logits, clean)
    assert broke > 100
    assert hooks(composed) == hooked
    with torch.no_grad():
        assert torch.equal(composed(tokens()).logits, clean)
    assert live_tensors() == before


# -- threads --------------------------------------------------------------------------------------------------------

Job = tuple[Tensor, tuple[str, ...]]
JOBS: list[Job] = [
    (tokens(1 + place % 3, 5 + place, seed=place), which)
    for place, which in enumerate([("far", "near"), ("near",), ("far",), ()])
]


def answers(composed: ComposedModel, job: Job) -> list[Tensor]:
    """What a thread asks for, with its own augments on."""
    ids, which = job
    with torch.no_grad(), composed.only(*which):
        logits = composed(ids).logits
        written = [generate(composed, ids, num_beams=beams) for beams in (1, 2)]
        return [logits, *written, generate(composed, ids, use_cache=False)]


def test_four_threads_get_each_its_own_answers() -> None:
    composed, start = composition(), threading.Barrier(4)
    alone = [answers(composed, job) for job in JOBS]

    def run(job: Job) -> list[list[Tensor]]:
        start.wait()
        return [answers(composed, job) for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, JOBS))
    for rounds, expected in zip(together, alone, strict=True):
        assert all(all(map(torch.equal, found, expected)) for found in rounds)
    assert composed.active == ("far", "near")
    assert len({tuple(one[0].flatten().tolist()) for one in alone}) == 4


@pytest.mark.parametrize("use_cache", [True, False])
def test_no_answer_is_mixed_while_another_thread_switches(use_cache: bool) -> None:
    composed, done = composition(), threading.Event()
    words: dict[str, Any] = {"use_cache": use_cache, "max_new_tokens": 6}
    pure = []
    for block in (nullcontext(), composed.ablate("near")):
        with block:
            pure.append(generate(composed, tokens(), **words))
    assert not torch.equal(*pure)

    def switch() -> int:
        times = 0
        while not done.wait(0.001):
            composed.disable("near")
            composed.enable("near")
            times += 1
        return times

    with ThreadPoolExecutor(4) as pool:
        switching = pool.submit(switch)
        try:
            found = list(pool.map(lambda _: generate(composed, tokens(), **words), range(12)))
        finally:
            done.set()
        assert switching.result() > 1
    assert all(any(torch.equal(one, other) for other in pure) for one in found)
