"""train(): from a graph and a file of records to bundles. The whole training on one page."""

import importlib.metadata
import random
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchestra import __version__
from orchestra.api import load
from orchestra.graph import Feed
from orchestra.io.bundle import read_config
from orchestra.io.checkpoint import file_sha256
from orchestra.nn.stack import Stack
from orchestra.runtime.model import ComposedModel
from orchestra.runtime.prompt import readers as prompt_readers
from orchestra.train import checkpoint
from orchestra.train.batches import steps_per_epoch
from orchestra.train.interrupt import Wish, listening
from orchestra.train.prepare import Prepared, identity, prepare, stacks
from orchestra.train.progress import ProgressBar
from orchestra.train.spec import TrainSpec
from orchestra.train.trainer import Arguments, BridgeTrainer, arguments
from orchestra.wiring import below

CHECKPOINTS = "_checkpoints"
"""Subfolder of the output; no augment can be called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What came of a training.

    Attributes:
        bundles: folder of the bundle by augment.
        losses: mean loss per token by step, where it was logged.
        eval_losses: evaluation loss by step.
        eval_loss: at the end; None without eval_data.
        eval_loss_without: the same with the trained augments off.
        resumed_from: the step of the checkpoint that it went on from.
        is_main_process: whether this process, of several, is the one that wrote the bundles.
    """

    bundles: dict[str, Path]
    steps: int
    num_trained: int
    losses: dict[int, float]
    eval_losses: dict[int, float]
    eval_loss: float | None
    eval_loss_without: float | None
    resumed_from: int | None
    seconds: float
    is_main_process: bool


def train(source: str | Path | Mapping[str, Any] | ComposedModel, spec: TrainSpec) -> TrainResult:
    """Train the bridges of a composition, and write a bundle per trained augment.

    Only bridges learn. Augments that are not trained are off meanwhile, but for those that feed one that is, or that it
    feeds: a stack trained alone stands alone. Killed at any moment, the same call goes on from the last checkpoint, to
    the same weights, bit for bit, on the same machine. A bundle that needs what a trained stack was before is written
    anew, with the same weights.
    Under `accelerate launch`, every process calls this function.

    Args:
        source: a graph's path, the document itself, or a composed model, whose bridges are then trained in place.

    Raises:
        TrainError: the settings cannot work, the checkpoints are another training's, or the loss is no number.
        DataError: records are malformed; nothing was loaded.
        KeyboardInterrupt: the training was stopped by Ctrl-C or SIGTERM, after writing a checkpoint.
        OrchestraError: as `orchestra.load`.
    """
    prepared = prepare(source, spec)
    model = source if isinstance(source, ComposedModel) else load(source)
    with listening() as wish, _own_randomness(), _learning(model, prepared, spec):
        return _run(model, prepared, spec, wish)


def _run(model: ComposedModel, prepared: Prepared, spec: TrainSpec, wish: Wish) -> TrainResult:
    started = time.monotonic()
    root = spec.output / CHECKPOINTS
    args = arguments(spec, root, on_cpu=model.device.type == "cpu")
    global_batch = spec.batch_size * spec.gradient_accumulation * args.world_size
    args.max_steps = spec.steps or (spec.epochs or 1) * steps_per_epoch(len(prepared.train), global_batch)
    run = identity(prepared, spec, steps=args.max_steps, global_batch=global_batch)
    begun = {stack.name: _begun(model, stack) for stack in stacks(prepared.plan, prepared.augments)}
    bar = ProgressBar()
    trainer = BridgeTrainer(
        model,
        args,
        train=prepared.train,
        evaluation=prepared.evaluation,
        pad_id=prepared.pad_id,
        bf16=spec.bf16,
        run=run,
        wish=wish,
        callbacks=[bar],
        keep_taps=spec.keep_taps,
    )
    try:
        resumed_from = _advance(trainer, args, root, run, resume=spec.resume)
        if trainer.state.global_step < args.max_steps:
            done = f"stopped after step {trainer.state.global_step} of {args.max_steps}"
            raise KeyboardInterrupt(f"{done}; the same command goes on from there.")
        result = _finish(trainer, model, prepared, spec, begun, resumed_from=resumed_from, started=started)
    finally:
        bar.close()
        if args.world_size > 1:
            trainer.accelerator.end_training()
    return result


def _advance(
    trainer: BridgeTrainer, args: Arguments, root: Path, run: Mapping[str, Any], *, resume: bool
) -> int | None:
    """Train to the end, from the newest whole checkpoint where there is one; its step."""
    if not resume and args.should_save:
        shutil.rmtree(root, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    found = checkpoint.newest(root, run)
    trainer.accelerator.wait_for_everyone()
    if found is None:
        trainer.train()
        return None
    if found.step < args.max_steps:
        trainer.train(resume_from_checkpoint=str(found.folder))
    else:
        trainer.restore(found.folder)
    return found.step


def _finish(
    trainer: BridgeTrainer,
    model: ComposedModel,
    prepared: Prepared,
    spec: TrainSpec,
    begun: Mapping[str, Mapping[str, Any]],
    *,
    resumed_from: int | None,
    started: float,
) -> TrainResult:
    """Evaluate, write the bundles, and sum up.

    Args:
        begun: by stack, with which weights it began.
    """
    steps = trainer.state.global_step
    eval_loss = eval_loss_without = None
    if prepared.evaluation is not None:
        eval_loss = trainer.logged("eval_loss").get(steps) or trainer.evaluate()["eval_loss"]
        with model.ablate(*prepared.augments):
            eval_loss_without = trainer.evaluate(metric_key_prefix="eval_without")["eval_without_loss"]
    losses = trainer.logged("loss")
    graph = prepared.plan.graph
    trained = stacks(prepared.plan, prepared.augments)
    bundles = {stack.name: spec.output / graph.place_of(stack) for stack in trained}
    if trainer.args.should_save:
        scores = {"train_loss": losses.get(max(losses, default=0))}
        if spec.eval_data is not None:
            scores |= {"eval_loss": eval_loss, "eval_loss_without": eval_loss_without}
        for stack in trained:
            recipe = {**_recipe(trainer, prepared, spec), **begun[stack.name]}
            model.save_stack(
                stack.augment, bundles[stack.name], into=stack.into, recipe=recipe, scores=scores, on=prepared.on
            )
        bundles |= _rewritten(model, prepared, spec)
    trainer.accelerator.wait_for_everyone()
    return TrainResult(
        bundles=bundles,
        steps=steps,
        num_trained=sum(weight.numel() for weight in trainer.weights().values()),
        losses=losses,
        eval_losses=trainer.logged("eval_loss"),
        eval_loss=eval_loss,
        eval_loss_without=eval_loss_without,
        resumed_from=resumed_from,
        seconds=round(time.monotonic() - started, 2),
        is_main_process=trainer.args.should_save,
    )


def _begun(model: ComposedModel, stack: Feed) -> dict[str, Any]:
    """What a bundle's record says of the weights that its stack has before a training; nothing of seed 0."""
    if stack.bundle is not None:
        return {"continues": read_config(Path(stack.bundle)).weights_sha256}
    fresh = Stack(model.plan.graph.sites_of(stack), seed=stack.seed).state_dict()
    now = model.stack(stack.augment, stack.into).state_dict()
    if any(not torch.equal(now[name].float().cpu(), weight) for name, weight in fresh.items()):
        return {"continues": "weights in memory"}
    return {"bridge_seed": stack.seed} if stack.seed else {}


def _rewritten(model: ComposedModel, prepared: Prepared, spec: TrainSpec) -> dict[str, Path]:
    """The bundles that need the stacks that are trained as they were before, once more: from now on they fit these."""
    graph, found = prepared.plan.graph, dict[str, Path]()
    for stack in stacks(prepared.plan, below(graph.feeds, prepared.augments) - {*prepared.augments}):
        before = None if stack.bundle is None else read_config(Path(stack.bundle))
        if before is not None and before.augment.fed is not None and stack.augment in prepared.on:
            found[stack.name] = spec.output / graph.place_of(stack)
            model.save_stack(
                stack.augment, found[stack.name], into=stack.into, recipe=before.recipe, scores=before.scores
            )
    return found


def _recipe(trainer: BridgeTrainer, prepared: Prepared, spec: TrainSpec) -> dict[str, Any]:
    """How the bundles were trained: what their cards say. File names, never folders."""
    recipe: dict[str, Any] = {
        "trained": ", ".join(prepared.augments),
        "data": spec.data.name,
        "data_sha256": file_sha256(spec.data),
        "records": len(prepared.train),
        "steps": trainer.state.global_step,
        "global_batch": spec.batch_size * spec.gradient_accumulation * trainer.args.world_size,
    }
    if through := [name for name in prepared.on if name not in prepared.augments]:
        recipe["beside"] = ", ".join(through)
    if readers := prompt_readers(prepared.plan, prepared.on):
        recipe["prompt_only"] = ", ".join(readers)
    if spec.eval_data is not None:
        recipe |= {"eval_data": spec.eval_data.name, "eval_data_sha256": file_sha256(spec.eval_data)}
    for field in ("learning_rate", "schedule", "warmup", "weight_decay", "max_grad_norm", "bf16", "seed"):
        recipe[field] = getattr(spec, field)
    recipe["orchestra"] = __version__
    for package in ("torch", "transformers", "accelerate"):
        recipe[package] = importlib.metadata.version(package)
    return recipe


@contextmanager
def _learning(model: ComposedModel, prepared: Prepared, spec: TrainSpec) -> Iterator[None]:
    """Only the stacks that are trained learn, and only what they need is on, inside a block."""
    required = {name: weight.requires_grad for name, weight in model.trainable()}
    recomputed = model.is_gradient_checkpointing
    for stack in model.plan.graph.stacks:
        model.stack(stack.augment, stack.into).requires_grad_(stack.augment in prepared.augments)
    if spec.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    try:
        with model.only(*prepared.on):
            yield
    finally:
        for name, weight in model.trainable():
            weight.requires_grad_(required[name])
        if not recomputed:
            model.gradient_checkpointing_disable()
        model.train(False)
        model.zero_grad()


@contextmanager
def _own_randomness() -> Iterator[None]:
    """The Trainer seeds every generator of the process; the caller's are as before after the block."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
