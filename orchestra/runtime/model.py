"""The composed model: a Hugging Face model that holds its anchor, its augments, and the bridges between them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutputWithPast

from orchestra.errors import ComposeError
from orchestra.graph import stack_name
from orchestra.io.bundle import Identity
from orchestra.nn.stack import Stack
from orchestra.plan import Plan
from orchestra.runtime import prompt
from orchestra.runtime.align import check_positions, full_mask
from orchestra.runtime.cache import ComposedCache, lower_layers, ours
from orchestra.runtime.config import ComposedConfig, shortest
from orchestra.runtime.contributions import Explained
from orchestra.runtime.generation import ComposedGenerationMixin
from orchestra.runtime.refused import Refused
from orchestra.runtime.room import roomy
from orchestra.runtime.runner import NOTHING, Reads, Runner
from orchestra.runtime.saving import Saved
from orchestra.runtime.stream import Stream
from orchestra.runtime.taps import Tapped, Taps, alone
from orchestra.runtime.toggles import Switched, Toggles


class ComposedModel(Refused, Switched, Saved, Tapped, Explained, PreTrainedModel, ComposedGenerationMixin):  # type: ignore[misc]  # it returns nothing
    """One model made of a frozen anchor, frozen augments, and trained bridges.

    Use it as any causal language model of transformers: `generate`, `pipeline`, `Trainer`. The anchor and the augments
    are held as they are; the composition runs private views of them. Only the bridges require gradients.

    Attributes:
        plan: what runs, in which order, at which cost.
        tokenizer: the anchor's; None when it was given without one.
    """

    config_class = ComposedConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = True  # forward takes num_items_in_batch: the Trainer then weighs every token alike
    _supports_sdpa = True
    _supports_attention_backend = True
    _runner: Runner

    def __init__(
        self,
        plan: Plan,
        *,
        anchor: PreTrainedModel,
        augments: Mapping[str, PreTrainedModel],
        stacks: Mapping[str, Stack],
        identify: Callable[[str], Identity],
        tokenizer: PreTrainedTokenizerBase | None = None,
        streams: Mapping[str, Stream] | None = None,
    ) -> None:
        configs = [model.config for model in (anchor, *augments.values())]
        super().__init__(ComposedConfig(anchor=anchor.config, max_position_embeddings=shortest(*configs)))
        self.plan = plan
        self._identify = identify
        self.tokenizer = tokenizer
        self._streams = dict(streams or {})
        self.anchor = anchor
        self.augments = nn.ModuleDict({_key(name): model for name, model in sorted(augments.items())})
        self.stacks = nn.ModuleDict({_key(name): stack for name, stack in sorted(stacks.items())})
        self.loss_type = "ForCausalLM"
        feeds = plan.graph.feeds if plan.graph.deep else None
        self._toggles = Toggles({node.name: node.enabled for node in plan.graph.augments}, feeds)
        self._recompute = False
        for model in (anchor, *augments.values()):
            model.requires_grad_(False)
        self.generation_config = GenerationConfig.from_dict((anchor.generation_config or GenerationConfig()).to_dict())
        self.generation_config.cache_implementation = None  # ours is the only one that will do
        self._mark = uuid4().hex
        self._runner = self._run_views()
        self.train(False)

    def _run_views(self) -> Runner:
        """Views over the models held; a plain object, so that nothing is registered twice."""
        names = self._toggles.names
        return Runner(
            self.plan,
            anchor=self.anchor,
            augments={name: self.augment(name) for name in names},
            stacks={stack.name: self.stack(stack.augment, stack.into) for stack in self.plan.graph.stacks},
            streams=self._streams,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_runner", "_compiled_call_impl")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy runs its own bridges over its own models, and continues no cache of the original's."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._mark = uuid4().hex
        self._runner = self._run_views()

    # -- parts ---------------------------------------------------------------------------------------------------

    def augment(self, name: str) -> PreTrainedModel:
        """The frozen model of an augment."""
        model = self.augments[_key(self._toggles.known(name))]
        assert isinstance(model, PreTrainedModel)
        return model

    def stack(self, name: str, into: str | None = None) -> Stack:
        """The bridges of an augment.

        Args:
            into: the model that they feed; default: the anchor, or the first by name where the anchor is none of them.

        Raises:
            ComposeError: there is no such augment, or it does not feed that model.
        """
        targets = self.plan.graph.feeds[self._toggles.known(name)]
        if into is not None and into not in targets:
            raise ComposeError(f"{name!r} does not feed {into!r}; it feeds {', '.join(targets)}.")
        stack = self.stacks[_key(stack_name(name, into or targets[0]))]
        assert isinstance(stack, Stack)
        return stack

    @property
    def device(self) -> torch.device:
        """The anchor's device: where inputs go."""
        return self.anchor.device

    @property
    def dtype(self) -> torch.dtype:
        """The anchor's dtype: that of the logits."""
        return self.anchor.dtype

    def get_input_embeddings(self) -> nn.Module:
        """The anchor's."""
        return self.anchor.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module | None:
        """The anchor's."""
        embeddings: nn.Module | None = self.anchor.get_output_embeddings()
        return embeddings

    def train(self, mode: bool = True) -> "ComposedModel":
        """Put the bridges in train mode; frozen models stay in eval mode."""
        super().train(mode)
        for model in (self.anchor, *self.augments.values()):
            model.eval()
        return self

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters of all bridges."""
        return ((name, weight) for name, weight in self.named_parameters() if name.startswith("stacks."))

    def print_trainable_parameters(self) -> None:
        """Print how many parameters are trained, and what share of all they are; a shared model counts once."""
        trained = sum(weight.numel() for weight in self.parameters() if weight.requires_grad)
        total = sum(weight.numel() for weight in self.parameters())
        print(f"trainable params: {trained:,} || all params: {total:,} || trainable%: {100 * trained / total:.4f}")

    # -- running -------------------------------------------------------------------------------------------------

    @torch.compiler.disable(reason="what a composed forward shares between its models is not traced")  # type: ignore[untyped-decorator]  # torch's
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: object = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
        prompt_length: Tensor | None = None,
        taps: Sequence[Taps] | None = None,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Run the composition; arguments and result are those of any causal language model of transformers.

        Args:
            input_ids: ``(batch, new)``. Augments read ids, so `inputs_embeds` alone is refused.
            attention_mask: ``(batch, past + new)``, 0 at padding.
            position_ids: ``(batch, new)``; default: counted from the mask.
            past_key_values: a cache returned by an earlier call, with the same augments on.
            prompt_length: ``(batch,)``, tokens in each row's prompt, padding not counted: an augment that reads the
                prompt only ends there, and a stream is cut there. Default: as the cache has it, else what comes before
                the first label.
            taps: of each row, from `taps()` of the same texts and prompts; only what is above runs, without a cache.

        Raises:
            ComposeError: no ids, a mask of another shape, a cache or taps that do not belong here, a text that an
                augment has no positions or no tokens for, or a prompt whose end it must know and nobody said.
        """
        if input_ids is None or inputs_embeds is not None:
            raise ComposeError("a composed model reads input_ids; inputs_embeds say nothing to its augments.")
        active = self._toggles.active  # asked once: another thread may switch meanwhile
        recompute = self._recompute and self.training and torch.is_grad_enabled()
        if taps is not None:
            use_cache = alone(past_key_values, use_cache, output_attentions, output_hidden_states)
        cache = self._cache(past_key_values, use_cache, recompute=recompute)
        if cache is not None:
            cache.admit(active, owner=self._mark, rows=input_ids.shape[0])
        past = cache.get_seq_length() if cache is not None else 0
        mask = None if attention_mask is None else full_mask(input_ids, attention_mask, past)
        reads = NOTHING
        if active or prompt_length is not None:
            valid = full_mask(input_ids, mask, past)
            check_positions(position_ids, valid)
            reads = self._reads(input_ids, valid, active, cache, labels=labels, prompt_length=prompt_length)
        outputs = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        with nullcontext() if cache is None else cache.filling():
            if taps is None:
                state = self._runner.read(reads, cache=cache, recompute=recompute)
            else:
                state = self._runner.given(reads, taps, full_mask(input_ids, mask), active=active, recompute=recompute)
            output = self._runner.answer(state, input_ids, mask, position_ids, outputs, logits_to_keep=logits_to_keep)
        loss = None if labels is None else self._loss(output.logits, labels, num_items_in_batch)
        kept = {"hidden_states": output.hidden_states, "attentions": output.attentions}
        result = CausalLMOutputWithPast(loss=loss, logits=output.logits, past_key_values=cache, **kept)
        return result if return_dict is not False else result.to_tuple()

    def _reads(
        self,
        ids: Tensor,
        valid: Tensor,
        active: frozenset[str],
        cache: ComposedCache | None,
        *,
        labels: Tensor | None,
        prompt_length: object,
    ) -> Reads:
        """What each augment that is on reads in this forward; of it only the prompt's length is remembered yet."""
        length = prompt.settle(
            prompt_length,
            labels=labels,
            valid=valid,
            past=valid.shape[1] - ids.shape[1],
            cache=cache,
            readers=prompt.readers(self.plan, active),
            streamed=bool(active & self._streams.keys()),
        )
        cut = None if cache is None else cache.cut
        return self._runner.align(ids, valid, active=active, cache=cache, prompt_length=length, cut=cut)

    def _loss(self, logits: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None) -> Tensor:
        loss: Tensor = self.loss_function(
            logits=logits, labels=labels, vocab_size=logits.shape[-1], num_items_in_batch=num_items_in_batch
        )
        return loss

    def _cache(self, given: object, use_cache: bool | None, *, recompute: bool) -> ComposedCache | None:
        if recompute and (given is not None or use_cache):
            raise ComposeError(
                "gradient checkpointing runs without a cache: drop past_key_values and use_cache, or call "
                "gradient_checkpointing_disable()."
            )
        if given is not None:
            return ours(given)
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        return self.new_cache() if use_cache else None

    def new_cache(self, *, offloading: bool = False) -> ComposedCache:
        """An empty cache; which augments it is for is settled by the first forward that fills it.

        Args:
            offloading: keep it in the CPU's memory, and fetch it layer by layer; what runs on the CPU has it there.
        """
        augments = {}
        for cost in self.plan.costs:
            model = self.augment(cost.augment)
            away = offloading and model.device.type != "cpu"
            if cost.augment in self._streams:
                # Layers that let go of what left their window could not bring it back when a row's tokens are moved.
                augments[cost.augment] = DynamicCache(offloading=away)
            else:
                augments[cost.augment] = lower_layers(model.config, cost.layers_run, offloading=away)
        away = offloading and self.device.type != "cpu"
        cache = ComposedCache(self.anchor.config, augments, owner=self._mark, offloading=away)
        if self._toggles.active and not offloading:
            for part in (cache, *cache.augments.values(), *cache.bridges.values()):
                roomy(part)
        return cache

    def prompt_readers(self) -> tuple[str, ...]:
        """The augments that are on and read the prompt only, sorted."""
        return prompt.readers(self.plan, self._toggles.active)

    def stream_readers(self) -> tuple[str, ...]:
        """The augments that are on and read a stream, as their tokenizer is not the anchor's; sorted."""
        return tuple(sorted(self._toggles.active & self._streams.keys()))

    # -- recomputing ---------------------------------------------------------------------------------------------

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Recompute anchor layers and bridges in the backward pass instead of keeping their activations."""
        self._recompute = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations again."""
        self._recompute = False

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether activations are recomputed."""
        return self._recompute

    def __repr__(self) -> str:
        return f"ComposedModel(anchor={type(self.anchor).__name__}, active={list(self.active)})\n{self.plan}"


def _key(name: str) -> str:
    """Key of an augment in a ModuleDict, where bare names such as 'keys' are taken."""
    return f"augment_{name}"
