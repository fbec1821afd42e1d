"""The Hugging Face `Trainer`, for bridges: only they learn, only they are saved, and steps do not depend on layout."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from orchestra.errors import TrainError
from orchestra.runtime.model import ComposedModel
from orchestra.train import checkpoint
from orchestra.train.batches import EpochBatches, EpochLoader, Examples, collate
from orchestra.train.encode import Example
from orchestra.train.interrupt import Wish
from orchestra.train.kept import Keeping, Kept, collate_kept, keep
from orchestra.train.spec import TrainSpec

WEIGHTS_FILE = "bridges.safetensors"
_KEPT_CHECKPOINTS = 2


class Arguments(TrainingArguments):
    """What the `Trainer` is told. Models stay where the graph put them, but for one process of several per GPU."""

    @property
    def place_model_on_device(self) -> bool:
        """Whether the model is moved to this process's device."""
        return bool(self.world_size > 1)

    @property
    def n_gpu(self) -> int:
        """Never more than one per process: several would mean DataParallel, which copies models at every step."""
        return min(1, int(super().n_gpu))


def arguments(spec: TrainSpec, root: Path, *, on_cpu: bool) -> Arguments:
    """Settings of the `Trainer`.

    Args:
        root: where checkpoints go.
        on_cpu: whether the anchor is on the CPU.
    """
    return Arguments(
        output_dir=str(root),
        per_device_train_batch_size=spec.batch_size,
        gradient_accumulation_steps=spec.gradient_accumulation,
        learning_rate=spec.learning_rate,
        lr_scheduler_type=spec.schedule if spec.schedule != "constant" else "constant_with_warmup",
        warmup_steps=spec.warmup,
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_grad_norm,
        optim="adamw_torch",
        seed=spec.seed,
        logging_steps=spec.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if spec.eval_every is not None else "no",
        eval_steps=spec.eval_every,
        save_strategy="steps",
        save_steps=spec.save_every,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=on_cpu,
        use_cache=True,  # the Trainer writes it into the model's config, where it stands already
        ddp_find_unused_parameters=False,
    )


class BridgeTrainer(Trainer):
    """Trains the bridges of a composed model that require gradients.

    Args:
        train, evaluation: the examples.
        pad_id: fills batches up; what it is does not matter.
        run: what makes this training this one, for its checkpoints.
        wish: when to stop early.
        keep_taps: where the taps of the training records are kept, if they are.
    """

    def __init__(
        self,
        model: ComposedModel,
        args: Arguments,
        *,
        train: Sequence[Example],
        evaluation: Sequence[Example] | None,
        pad_id: int,
        bf16: bool,
        run: Mapping[str, Any],
        wish: Wish,
        callbacks: list[TrainerCallback],
        keep_taps: Path | None = None,
    ) -> None:
        self._bridged = model
        self._keep_taps = keep_taps
        self._wish = wish
        self._pad_id = pad_id
        self._bf16 = bf16
        self._run = run
        self._train_examples = train
        self._evaluation = evaluation
        self._collate: Callable[[Sequence[Example]], dict[str, Tensor]] = partial(collate, pad_id=pad_id)
        guards: list[TrainerCallback] = [_StopOnWish(wish, self), _RefuseNaN()]
        super().__init__(
            model=model,
            args=args,
            data_collator=self._collate,
            train_dataset=Examples(train),
            eval_dataset=Examples(evaluation) if evaluation is not None else None,
            callbacks=[*guards, *callbacks],
        )
        self.remove_callback(PrinterCallback)

    def weights(self) -> dict[str, nn.Parameter]:
        """The weights that learn, by name."""
        return {name: weight for name, weight in self._bridged.trainable() if weight.requires_grad}

    def logged(self, name: str) -> dict[int, float]:
        """A logged number by step."""
        return {int(entry["step"]): entry[name] for entry in self.state.log_history if name in entry}

    def restore(self, folder: Path) -> None:
        """Take up a finished training as it was."""
        self._load_from_checkpoint(str(folder))
        self.state = TrainerState.load_from_json(str(folder / "trainer_state.json"))

    # -- data ----------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> EpochLoader:
        """This process's share of every step."""
        batches = EpochBatches(
            len(self._train_examples),
            batch_size=self.args.per_device_train_batch_size,
            accumulation=self.args.gradient_accumulation_steps,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            seed=self.args.seed,
        )
        kept = None if self._keep_taps is None else self._kept(self._keep_taps)
        return EpochLoader(
            Examples(self._train_examples) if kept is None else kept,
            batch_sampler=batches,
            collate_fn=self._collate if kept is None else partial(collate_kept, pad_id=self._pad_id),
            pin_memory=self.args.device.type == "cuda",
        )

    def _kept(self, folder: Path) -> Kept:
        """The training records with their taps."""
        how = Keeping(
            folder=folder,
            pad_id=self._pad_id,
            batch_size=self.args.per_device_train_batch_size,
            bf16=self._bf16,
            computing=self.compute_loss_context_manager,
            wish=self._wish,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            wait=self.accelerator.wait_for_everyone,
        )
        return keep(self._bridged, self._train_examples, how)

    # -- one step ------------------------------------------------------------------------------------------------

    def compute_loss_context_manager(self) -> contextlib.ExitStack:
        """Autocast, where asked for. Accelerate's own would stay on the model's forward after the training."""
        stack = super().compute_loss_context_manager()
        if self._bf16:
            stack.enter_context(torch.autocast(self._bridged.device.type, torch.bfloat16))
        return stack

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Forward and backward.

        Raises:
            TrainError: the loss is NaN or infinite.
        """
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise _not_finite(f"the loss is {loss.item()}", self.state, self.args)
        return loss

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Matrices decay; norms, biases and gates do not, whatever they are called."""
        return [name for name, weight in model.named_parameters() if weight.requires_grad and weight.ndim > 1]

    def floating_point_ops(self, inputs: dict[str, Tensor | Any]) -> int:
        """Not counted: the estimate of transformers knows one model, not several."""
        return 0

    # -- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The mean loss per token over the evaluation examples, the same for every batch size and process count."""
        examples = self._evaluation or ()
        size, rank, world = self.args.per_device_train_batch_size, self.args.process_index, self.args.world_size
        self._bridged.train(False)
        total, count = 0.0, 0
        for start in range(rank * size, len(examples), size * world):
            batch = self._prepare_inputs(self._collate(examples[start : start + size]))
            with torch.no_grad(), self.compute_loss_context_manager():
                total += self._bridged(**batch, use_cache=False, num_items_in_batch=1).loss.item()
            count += int(batch["labels"][:, 1:].ne(-100).sum())
        sums = self.accelerator.reduce(torch.tensor([total, count], device=self.args.device), "sum")
        metrics = {f"{metric_key_prefix}_loss": (sums[0] / sums[1]).item()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write the bridges that learn; anchor and augments stay where they came from."""
        if self.args.should_save and output_dir is not None:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            tensors = {name: weight.detach().cpu().contiguous() for name, weight in self.weights().items()}
            save_file(tensors, Path(output_dir) / WEIGHTS_FILE)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint, seal it once every process has written its part, and only then drop older ones."""
        root = Path(str(self.args.output_dir))
        folder = root / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            checkpoint.unseal(folder)
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            checkpoint.seal(folder, self._run)
            checkpoint.keep_newest(root, _KEPT_CHECKPOINTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Read the bridges back."""
        tensors = load_file(Path(resume_from_checkpoint) / WEIGHTS_FILE)
        with torch.no_grad():
            for name, weight in self.weights().items():
                weight.copy_(tensors[name])


class _StopOnWish(TrainerCallback):
    """Ends the training after this step, with a checkpoint, once somebody asked for it."""

    def __init__(self, wish: Wish, trainer: BridgeTrainer) -> None:
        self._wish = wish
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Heed the intervals of this call: the state of a resumed training remembers those of the earlier one."""
        state.compute_steps(args, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask every process: they must stop at the same step."""
        stop = self._wish.stop
        if args.world_size > 1:
            wishes = torch.tensor([float(stop)], device=args.device)
            stop = bool(self._trainer.accelerator.reduce(wishes, "sum").item())
        if stop:
            control.should_save = control.should_training_stop = True


class _RefuseNaN(TrainerCallback):
    """Stops before a step that would make the bridges NaN."""

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Look at the gradients.

        Raises:
            TrainError: one is NaN or infinite.
        """
        gradients = [weight.grad for weight in model.parameters()] if model is not None else []
        if not all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None):
            raise _not_finite("a gradient is NaN or infinite", state, args)


def _not_finite(what: str, state: TrainerState, args: TrainingArguments) -> TrainError:
    return TrainError(
        f"step {state.global_step + 1}: {what}. No bundle was written. Try a learning_rate below "
        f"{args.learning_rate}, a longer warmup, or no bf16; --no-resume starts anew."
    )
