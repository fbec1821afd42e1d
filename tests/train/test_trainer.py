"""What of the Trainer is ours."""

from pathlib import Path

import pytest
import torch
from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast, Trainer, TrainingArguments

import orchestra
from orchestra.runtime.model import ComposedModel
from orchestra.train import TrainSpec
from orchestra.train.batches import EpochBatches
from orchestra.train.encode import Example
from orchestra.train.interrupt import Wish
from orchestra.train.trainer import BridgeTrainer, arguments

EXAMPLES = tuple(Example(ids=(1, 5 + index, 7, 2), num_prompt=2) for index in range(11))


@pytest.fixture
def trainer(graph: Path, tmp_path: Path) -> BridgeTrainer:
    """A trainer that trains kv alone."""
    model = orchestra.load(graph)
    model.stack("tetum").requires_grad_(False)
    spec = TrainSpec(
        data=tmp_path / "pairs.jsonl", output=tmp_path, batch_size=3, weight_decay=0.1, schedule="constant"
    )
    args = arguments(spec, tmp_path, on_cpu=True)
    return BridgeTrainer(
        model, args, train=EXAMPLES, evaluation=None, pad_id=0, bf16=False, run={}, wish=Wish(), callbacks=[]
    )


def composed(trainer: BridgeTrainer) -> ComposedModel:
    assert isinstance(trainer.model, ComposedModel)
    return trainer.model


def test_the_optimizer_holds_the_trained_stack_and_decays_its_matrices_only(trainer: BridgeTrainer) -> None:
    optimizer = trainer.create_optimizer()
    names = {id(weight): name for name, weight in composed(trainer).named_parameters()}
    held = {names[id(weight)]: group["weight_decay"] for group in optimizer.param_groups for weight in group["params"]}
    assert set(held) == set(trainer.weights())
    assert all(name.startswith("stacks.augment_kv.") for name in held)
    assert {name.rsplit(".", 2)[-2] for name, decay in held.items() if decay} == {
        "proj",
        "query",
        "key",
        "value",
        "out",
    }
    assert all(name.endswith(".weight") for name, decay in held.items() if decay)
    assert {"gate", "norm_hidden", "norm_context"} <= {part for name in held for part in name.split(".")}


def test_epochs_reach_the_batches(trainer: BridgeTrainer) -> None:
    loader = trainer.get_train_dataloader()
    assert isinstance(loader.batch_sampler, EpochBatches)
    first = [batch["input_ids"].tolist() for batch in loader]
    loader.set_epoch(1)
    assert [batch["input_ids"].tolist() for batch in loader] != first
    assert len(first) == len(loader) == 4


def test_a_process_never_copies_its_model_over_several_devices(trainer: BridgeTrainer) -> None:
    assert trainer.args.n_gpu <= 1
    assert trainer.args.place_model_on_device is False
    assert trainer.model_accepts_loss_kwargs


def test_a_plain_trainer_trains_a_composed_model_too(
    graph: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = orchestra.load(graph)
    frozen = {name: tensor.clone() for name, tensor in model.state_dict().items() if not name.startswith("stacks.")}
    rows = [{"input_ids": list(example.ids), "labels": list(example.ids)} for example in EXAMPLES]
    args = TrainingArguments(
        output_dir=str(tmp_path), max_steps=3, report_to="none", save_strategy="no", use_cpu=True, disable_tqdm=True,
        dataloader_pin_memory=False, learning_rate=1e-2,
    )  # fmt: skip
    plain = Trainer(model, args, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer))
    plain.train()
    assert plain.model_accepts_loss_kwargs
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in frozen.items())
    assert any(weight.ndim == 0 and weight.item() != 0 for _, weight in model.trainable())
