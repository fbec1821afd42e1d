"""train(): what learns, what is written, and that a training cut off anywhere ends as one that was not."""

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import orchestra
from orchestra.errors import DataError, TrainError
from orchestra.runtime.model import ComposedModel
from orchestra.train import TrainResult, TrainSpec, run, train
from orchestra.train.run import CHECKPOINTS
from orchestra.train.trainer import BridgeTrainer
from tests.train.conftest import Write, records

Settings = Callable[..., TrainSpec]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(pairs: Path, tmp_path: Path) -> Settings:
    """Settings of a short training; five steps are an epoch."""

    def with_changes(**changes: Any) -> TrainSpec:
        short = {"data": pairs, "output": tmp_path / "out", "steps": 13, "batch_size": 4, "learning_rate": 1e-2}
        return TrainSpec(**{**short, "save_every": 3, "log_every": 1, **changes})

    return with_changes


@pytest.fixture(scope="module")
def whole(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """What that training comes to when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records()), encoding="utf-8")
    short: dict[str, Any] = {"steps": 13, "batch_size": 4, "learning_rate": 1e-2, "save_every": 3, "log_every": 1}
    return train(graph, TrainSpec(data=folder / "pairs.jsonl", output=folder / "out", **short))


def weights(result: TrainResult) -> dict[str, Tensor]:
    """Every weight of the bundles that were written."""
    return {
        f"{name}.{key}": tensor
        for name, folder in result.bundles.items()
        for key, tensor in load_file(folder / "bridge_model.safetensors").items()
    }


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def frozen(model: ComposedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if not name.startswith("stacks.")}


# -- what learns ---------------------------------------------------------------------------------------------------


def test_only_bridges_learn_and_they_do(graph: Path, settings: Settings) -> None:
    model = orchestra.load(graph)
    before, fresh, on_disk = frozen(model), dict(model.state_dict()), digests(graph.parent)
    fresh = {name: tensor.clone() for name, tensor in fresh.items()}
    result = train(model, settings(eval_data=settings().data, epochs=6, steps=None))
    assert same(frozen(model), before)
    assert digests(graph.parent) == on_disk
    assert all(not torch.equal(weight, fresh[name]) for name, weight in model.trainable())
    assert result.eval_loss is not None
    assert result.eval_loss_without is not None
    assert result.eval_loss < result.eval_loss_without - 0.05
    assert result.steps == 30


def test_a_stack_trained_alone_stands_alone(graph: Path, settings: Settings) -> None:
    both = orchestra.load(graph)
    torch.nn.init.constant_(both.stack("tetum").bridges()[0].out.weight, 0.3)
    untouched = {name: tensor.clone() for name, tensor in both.stack("tetum").state_dict().items()}
    result = train(both, settings(augments=("kv",)))
    assert same(dict(both.stack("tetum").state_dict()), untouched)
    assert list(result.bundles) == ["kv"]
    assert result.num_trained == sum(weight.numel() for weight in both.stack("kv").parameters())
    document = json.loads(graph.read_text())
    del document["augments"]["tetum"]
    for part in (document["anchor"], document["augments"]["kv"]):
        part["model"] = str(graph.parent / part["model"])
    assert same(weights(train(document, settings(output=settings().output / "alone"))), weights(result))


def test_the_model_is_afterwards_switched_as_before(graph: Path, settings: Settings) -> None:
    model = orchestra.load(graph)
    model.disable("kv")
    train(model, settings(augments=("kv",), gradient_checkpointing=True))
    assert model.active == ("tetum",)
    assert all(weight.requires_grad and weight.grad is None for _, weight in model.trainable())
    assert not model.is_gradient_checkpointing
    assert not model.training


def test_fp32_stays_the_weights_own_type_when_computing_in_bf16(
    graph: Path, settings: Settings, whole: TrainResult
) -> None:
    result = train(graph, settings(bf16=True))
    assert {tensor.dtype for tensor in weights(result).values()} == {torch.float32}
    assert result.losses != whole.losses
    assert list(result.losses.values()) == pytest.approx(list(whole.losses.values()), abs=0.02)


def test_recomputing_activations_changes_no_bit(graph: Path, settings: Settings, whole: TrainResult) -> None:
    assert same(weights(train(graph, settings(gradient_checkpointing=True))), weights(whole))


# -- steps do not depend on their layout ---------------------------------------------------------------------------


def test_accumulated_batches_give_the_losses_of_one_large(graph: Path, settings: Settings, whole: TrainResult) -> None:
    split = train(graph, settings(batch_size=1, gradient_accumulation=4))
    assert list(split.losses.values()) == pytest.approx(list(whole.losses.values()), rel=1e-5)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(split)[name], tensor, rtol=0, atol=1e-3)


def test_two_processes_give_the_losses_of_one(graph: Path, settings: Settings) -> None:
    data = settings().data
    changes: dict[str, Any] = {"steps": 7, "eval_data": data, "eval_every": 3, "augments": ("kv",)}
    whole = train(graph, settings(**changes, batch_size=8))
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    options = (
        f"train {graph} --data {data} --eval-data {data} --eval-every 3 --augment kv --steps 7 --learning-rate 1e-2 "
        f"--batch-size 2 --gradient-accumulation 2 --log-every 1 --json --output {settings().output}/two"
    )
    command = f"{launch} --dynamo_backend no --main_process_port 0 -m orchestra {options}"
    done = subprocess.run(
        [sys.executable, *command.split()], env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    split = json.loads(done.stdout)
    assert list(split["losses"].values()) == pytest.approx(list(whole.losses.values()), rel=1e-5)
    assert list(split["eval_losses"].values()) == pytest.approx(list(whole.eval_losses.values()), rel=1e-5)
    assert split["eval_loss_without"] == pytest.approx(whole.eval_loss_without, rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_evaluation_loss_is_the_mean_over_tokens_for_every_batch_size(
    graph: Path, settings: Settings, batch_size: int
) -> None:
    model = orchestra.load(graph)
    result = train(model, settings(eval_data=settings().data, batch_size=batch_size))
    total, count = 0.0, 0
    assert model.tokenizer is not None
    for line in settings().data.read_text().splitlines():
        record = json.loads(line)
        prompt = model.tokenizer(record["prompt"])["input_ids"]
        answer = [*model.tokenizer(record["completion"], add_special_tokens=False)["input_ids"], 2]
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].detach()
        total += torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="sum").item()
        count += len(answer)
    assert result.eval_loss == pytest.approx(total / count, rel=1e-5)


# -- what is written -----------------------------------------------------------------------------------------------


def test_a_bundle_is_written_per_trained_augment_and_nothing_of_the_models(graph: Path, settings: Settings) -> None:
    model = orchestra.load(graph)
    spec = settings(eval_data=settings().data)
    result = train(model, spec)
    assert sorted(path.name for path in spec.output.iterdir()) == [CHECKPOINTS, "kv", "tetum"]
    for name in ("kv", "tetum"):
        assert result.bundles[name] == spec.output / name
        assert same(load_file(spec.output / name / "bridge_model.safetensors"), dict(model.stack(name).state_dict()))
    saved = {path.name for path in (spec.output / CHECKPOINTS).rglob("*.safetensors")}
    assert saved == {"bridges.safetensors"}
    newest = load_file(spec.output / CHECKPOINTS / "checkpoint-13" / "bridges.safetensors")
    assert newest.keys() == dict(model.trainable()).keys()


def test_the_recipe_and_the_scores_stand_in_the_bundle_without_a_path(graph: Path, settings: Settings) -> None:
    spec = settings(eval_data=settings().data, augments=("kv",))
    result = train(graph, spec)
    config = json.loads((spec.output / "kv" / "bridge_config.json").read_text())
    assert config["recipe"] | {"trained": "kv", "data": "pairs.jsonl", "records": 17, "steps": 13} == config["recipe"]
    assert config["recipe"]["data_sha256"] == hashlib.sha256(spec.data.read_bytes()).hexdigest()
    assert (config["recipe"]["learning_rate"], config["recipe"]["global_batch"]) == (1e-2, 4)
    assert config["scores"]["eval_loss"] == result.eval_loss
    assert config["scores"]["eval_loss_without"] == result.eval_loss_without
    assert str(spec.output) not in json.dumps(config)
    assert f"| {result.eval_loss} |" in (spec.output / "kv" / "README.md").read_text()


def test_a_bundle_loads_in_a_graph(graph: Path, settings: Settings) -> None:
    result = train(graph, settings(augments=("kv",)))
    document = json.loads(graph.read_text())
    document["augments"]["kv"]["bridges"] = str(result.bundles["kv"])
    for part in (document["anchor"], *document["augments"].values()):
        part["model"] = str(graph.parent / part["model"])
    stack = orchestra.load(document).stack("kv").state_dict()
    assert same({f"kv.{name}": tensor for name, tensor in stack.items()}, weights(result))


def test_nothing_is_loaded_where_records_are_malformed(
    graph: Path, settings: Settings, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "load", lambda source: pytest.fail("a weight was loaded"))
    with pytest.raises(DataError, match=re.escape("line 1: 'completion' is 5; it must be a string.")):
        train(graph, settings(data=write({"prompt": "a", "completion": 5})))


def test_training_prints_on_stderr_only_and_leaves_the_callers_random_numbers(
    graph: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    model = orchestra.load(graph)
    seed_all = (random.seed, np.random.seed, torch.manual_seed)
    drawn = []
    for trained in (False, True):
        for seed in seed_all:
            seed(7)
        if trained:
            train(model, settings(steps=2))
        drawn.append((np.random.rand(), torch.rand(()).item()))
    assert drawn[0] == drawn[1]
    before = random.getstate()
    with run._own_randomness():
        random.seed(11)
    assert random.getstate() == before
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"step 1/2  loss \d\.\d{4}\nstep 2/2  loss \d\.\d{4}\n", printed.err)


@pytest.mark.parametrize("of_gradient", [False, True])
def test_a_loss_that_is_no_number_stops_the_training_without_a_bundle(
    graph: Path, settings: Settings, of_gradient: bool
) -> None:
    model = orchestra.load(graph)
    weight = model.stack("kv").bridges()[0].out.weight
    if of_gradient:
        weight.register_hook(lambda gradient: gradient * float("nan"))
        what = "a gradient is NaN or infinite"
    else:
        torch.nn.init.constant_(weight, float("nan"))
        what = "the loss is nan"
    message = (
        f"step 1: {what}. No bundle was written. Try a learning_rate below 0.01, a longer warmup, or no bf16; "
        "--no-resume starts anew."
    )
    with pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
        train(model, settings())
    assert not (settings().output / "kv").exists()
    assert not list((settings().output / CHECKPOINTS).glob("*"))


# -- cut off and resumed -------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C in the middle of a step."""
    original, count = BridgeTrainer.training_step, 0

    def counted(self: Any, *args: Any) -> Tensor:
        nonlocal count
        count += 1
        if count == step:
            signal.raise_signal(signal.SIGINT)
        return original(self, *args)

    monkeypatch.setattr(BridgeTrainer, "training_step", counted)


@pytest.mark.parametrize("step", [1, 4, 5, 12])
def test_ctrl_c_leaves_a_checkpoint_from_which_no_bit_differs(
    graph: Path, settings: Settings, whole: TrainResult, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    with monkeypatch.context() as patch:
        stop_at(step, patch)
        message = f"stopped after step {step} of 13; the same command goes on from there."
        with pytest.raises(KeyboardInterrupt, match=f"^{re.escape(message)}$"):
            train(graph, settings())
    assert not (settings().output / "kv").exists()
    resumed = train(graph, settings())
    assert resumed.resumed_from == step
    assert resumed.losses == whole.losses
    assert same(weights(resumed), weights(whole))


def test_killed_it_loses_only_the_steps_since_the_last_checkpoint(graph: Path, settings: Settings) -> None:
    long: dict[str, Any] = {"steps": 97, "warmup": 11}
    options = (
        f"train {graph} --data {settings().data} --output {settings().output} --steps 97 --warmup 11 --batch-size 4 "
        "--learning-rate 1e-2 --save-every 3 --log-every 1"
    )
    child = subprocess.Popen([sys.executable, "-m", "orchestra", *options.split()], env=environment())
    try:
        while not list((settings().output / CHECKPOINTS).glob("*/seal.json")) and child.poll() is None:
            time.sleep(0.002)
    finally:
        child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not (settings().output / "kv").exists()
    resumed = train(graph, settings(**long))
    assert resumed.resumed_from is not None
    assert resumed.resumed_from % 3 == 0
    assert same(weights(resumed), weights(train(graph, settings(**long, output=settings().output / "whole"))))


@pytest.mark.parametrize("name", ["optimizer.pt", "bridges.safetensors", "trainer_state.json"])
def test_a_half_written_checkpoint_is_passed_over(graph: Path, settings: Settings, name: str) -> None:
    whole = train(graph, settings())
    broken = settings().output / CHECKPOINTS / "checkpoint-13" / name
    broken.write_bytes(broken.read_bytes()[:-7])
    kept = weights(whole)
    resumed = train(graph, settings())
    assert resumed.resumed_from == 12
    assert same(weights(resumed), kept)


def test_a_finished_training_is_not_trained_further(graph: Path, settings: Settings) -> None:
    first = train(graph, settings(eval_data=settings().data))
    kept = weights(first)
    second = train(graph, settings(eval_data=settings().data))
    assert (second.resumed_from, second.steps, second.losses) == (13, 13, first.losses)
    assert second.eval_loss == pytest.approx(first.eval_loss)
    assert same(weights(second), kept)


def test_a_training_may_be_resumed_in_another_layout(
    graph: Path, settings: Settings, whole: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(7, patch)
        with pytest.raises(KeyboardInterrupt):
            train(graph, settings())
    resumed = train(graph, settings(batch_size=1, gradient_accumulation=4, save_every=5))
    assert list(resumed.losses.values()) == pytest.approx(list(whole.losses.values()), rel=1e-4)
    checkpoints = sorted(path.name for path in (settings().output / CHECKPOINTS).iterdir())
    assert checkpoints == ["checkpoint-10", "checkpoint-13"]


def test_checkpoints_of_another_training_are_refused_and_can_be_discarded(graph: Path, settings: Settings) -> None:
    train(graph, settings())
    message = (
        f"{settings().output}/{CHECKPOINTS}/checkpoint-13: is a checkpoint of another training: seed was 0 and is 5. "
        "Give the settings it was made with, or another output; or discard it with resume=False (--no-resume)."
    )
    with pytest.raises(TrainError, match=f"^{re.escape(message)}$"):
        train(graph, settings(seed=5))
    assert train(graph, settings(seed=5, resume=False)).resumed_from is None
