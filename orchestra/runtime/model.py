"""The composed model: a Hugging Face model that holds its anchor, its augments, and the bridges between them."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, GenerationMixin, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutputWithPast

from orchestra.errors import ComposeError
from orchestra.io.bundle import Identity
from orchestra.io.stacks import write_bundle
from orchestra.nn.bridge import Bridge
from orchestra.nn.stack import Stack
from orchestra.plan import Plan
from orchestra.runtime.align import Alignment, align, full_mask
from orchestra.runtime.cache import ComposedCache
from orchestra.runtime.config import ComposedConfig
from orchestra.runtime.contributions import Contributions, contributions
from orchestra.runtime.schedule import Pass, Trace, inject, inject_embedding, recompute_in_backward, running, tap
from orchestra.runtime.toggles import Toggles
from orchestra.runtime.view import view


class ComposedModel(PreTrainedModel, GenerationMixin):
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
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(
        self,
        plan: Plan,
        *,
        anchor: PreTrainedModel,
        augments: Mapping[str, PreTrainedModel],
        stacks: Mapping[str, Stack],
        identify: Callable[[str], Identity],
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        super().__init__(ComposedConfig(anchor=anchor.config, use_cache=True))
        self.plan = plan
        self._identify = identify
        self.tokenizer = tokenizer
        self.anchor = anchor
        self.augments = nn.ModuleDict({_key(name): model for name, model in sorted(augments.items())})
        self.stacks = nn.ModuleDict({_key(name): stack for name, stack in sorted(stacks.items())})
        self.loss_type = "ForCausalLM"
        self._toggles = Toggles({node.name: node.enabled for node in plan.graph.augments})
        self._recompute = False
        for model in (anchor, *augments.values()):
            model.requires_grad_(False)
        self.generation_config = GenerationConfig.from_dict((anchor.generation_config or GenerationConfig()).to_dict())
        self._build_views()
        self.train(False)

    def _build_views(self) -> None:
        graph = self.plan.graph
        anchor, layers = view(self.anchor, num_layers=graph.anchor.facts.num_layers)
        for layer in layers:
            recompute_in_backward(layer)
        bridges = [self.stack(site.augment)[site.key] for site in graph.sites]
        for anchor_layer in dict.fromkeys(site.anchor_layer for site in graph.sites):
            here = [bridge for bridge in bridges if isinstance(bridge, Bridge)]
            here = [bridge for bridge in here if bridge.site.anchor_layer == anchor_layer]
            if anchor_layer == "embedding":
                inject_embedding(layers[0], here)
            else:
                inject(layers[anchor_layer], here)
        readers = {}
        for node, cost in zip(graph.augments, self.plan.costs, strict=True):
            model = self.augment(node.name)
            body = model.base_model
            assert isinstance(body, PreTrainedModel)
            reader, tapped = view(body, num_layers=node.facts.num_layers, keep=cost.layers_run)
            for index in {site.augment_layer for site in graph.sites if site.augment == node.name}:
                tap(tapped[index], node.name, index)
            readers[node.name] = reader
        # Views share the modules registered above; a plain tuple keeps them from being registered twice.
        self._views = (anchor, readers)

    # -- parts ---------------------------------------------------------------------------------------------------

    def augment(self, name: str) -> PreTrainedModel:
        """The frozen model of an augment."""
        model = self.augments[_key(self._toggles.known(name))]
        assert isinstance(model, PreTrainedModel)
        return model

    def stack(self, name: str) -> Stack:
        """The bridges of an augment."""
        stack = self.stacks[_key(self._toggles.known(name))]
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

    # -- toggles -------------------------------------------------------------------------------------------------

    @property
    def active(self) -> tuple[str, ...]:
        """The augments that are on, sorted."""
        return tuple(sorted(self._toggles.active))

    def ablate(self, *names: str) -> AbstractContextManager[None]:
        """Switch augments off inside a `with` block.

        Raises:
            ComposeError: an augment of that name is not there.
        """
        return self._toggles.without(names)

    def only(self, *names: str) -> AbstractContextManager[None]:
        """Switch all augments but these off, and these on, inside a `with` block; no name leaves the anchor alone."""
        return self._toggles.only(names)

    def enable(self, *names: str) -> None:
        """Switch augments on until further notice."""
        self._toggles.switch(names, on=True)

    def disable(self, *names: str) -> None:
        """Switch augments off until further notice."""
        self._toggles.switch(names, on=False)

    # -- running -------------------------------------------------------------------------------------------------

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: ComposedCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Run the composition; arguments and result are those of any causal language model of transformers.

        Args:
            input_ids: ``(batch, new)``. Augments read ids, so `inputs_embeds` alone is refused.
            attention_mask: ``(batch, past + new)``, 0 at padding.
            position_ids: ``(batch, new)``; default: counted from the mask.
            past_key_values: a cache returned by an earlier call, with the same augments on.

        Raises:
            ComposeError: no ids, a mask of another shape, or a cache that does not belong here.
        """
        if input_ids is None or inputs_embeds is not None:
            raise ComposeError("a composed model reads input_ids; inputs_embeds say nothing to its augments.")
        cache = self._cache(past_key_values, use_cache)
        valid = full_mask(input_ids, attention_mask, cache.get_seq_length() if cache is not None else 0)
        with running(self._read(input_ids, valid, cache)):
            output = self._run_anchor(
                input_ids,
                valid if attention_mask is not None else None,
                position_ids,
                cache,
                logits_to_keep=logits_to_keep,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states,
            )
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=output.logits,
                labels=labels,
                vocab_size=output.logits.shape[-1],
                num_items_in_batch=num_items_in_batch,
            )
        result = CausalLMOutputWithPast(
            loss=loss,
            logits=output.logits,
            past_key_values=cache,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )
        return result if return_dict is not False else result.to_tuple()

    def _cache(self, given: object, use_cache: bool | None) -> ComposedCache | None:
        if use_cache is None:
            use_cache = given is not None or not (self.training or (torch.is_grad_enabled() and self._recompute))
        if given is None and use_cache:
            given = self._new_cache()
        if not use_cache or given is None:
            return None
        if not isinstance(given, ComposedCache):
            raise ComposeError(
                f"past_key_values is a {type(given).__name__}; a composed model continues only from a cache "
                "that it returned itself (static and quantized caches are not supported)."
            )
        given.admit(self._toggles.active)
        return given

    def _new_cache(self) -> ComposedCache:
        return ComposedCache(self.anchor.config, {name: self.augment(name).config for name in self._toggles.names})

    def _read(self, ids: Tensor, valid: Tensor, cache: ComposedCache | None) -> Pass:
        """Run every augment that is on, and return the pass that holds its taps."""
        alignments: dict[str, Alignment] = {name: align(ids, valid) for name in sorted(self._toggles.active)}
        recompute = self._recompute and self.training and torch.is_grad_enabled()
        state = Pass(alignments=alignments, cache=cache, recompute=recompute)
        with running(state), torch.no_grad():
            for name, alignment in alignments.items():
                reader = self._views[1][name]
                device = self.augment(name).device
                arguments = {
                    "input_ids": alignment.ids.to(device),
                    "attention_mask": alignment.valid.to(device),
                    "past_key_values": cache.augments[name] if cache is not None else None,
                    "use_cache": cache is not None,
                }
                if _accepts(reader, "position_ids"):
                    arguments["position_ids"] = alignment.position.to(device)
                reader(**arguments)
        return state

    def _run_anchor(
        self,
        ids: Tensor,
        mask: Tensor | None,
        position_ids: Tensor | None,
        cache: ComposedCache | None,
        *,
        logits_to_keep: int | Tensor,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> Any:
        anchor = self._views[0]
        wanted = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        arguments: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        if _accepts(anchor, "position_ids"):
            arguments["position_ids"] = _positions(mask, ids) if position_ids is None else position_ids
        if _accepts(anchor, "logits_to_keep"):
            arguments["logits_to_keep"] = logits_to_keep
        return anchor(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            return_dict=True,
            **arguments,
        )

    # -- generation ----------------------------------------------------------------------------------------------

    def _prepare_cache_for_generation(  # type: ignore[override]  # transformers says bool, and returns nothing
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        """Give generation a cache of ours, before its first forward: assisted decoding and beams rely on it."""
        given = model_kwargs.get("past_key_values")
        if generation_config.cache_implementation not in (None, "dynamic"):
            raise ComposeError(
                f"cache_implementation is {generation_config.cache_implementation!r}; "
                "a composed model generates with its own dynamic cache only: drop the argument."
            )
        if given is not None:
            if not isinstance(given, ComposedCache):
                raise ComposeError(
                    f"past_key_values is a {type(given).__name__}; a composed model continues only from a cache "
                    "that it returned itself."
                )
            return
        if generation_config.use_cache is False:
            return
        cache = self._new_cache()
        if generation_config.is_assistant:
            cache.activate_past_recording()
        model_kwargs["past_key_values"] = cache

    def generate_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: continuous batching would decode wrong tokens."""
        raise ComposeError("continuous batching (generate_batch) is not supported: use generate.")

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

    # -- seeing and saving ---------------------------------------------------------------------------------------

    def contributions(self, text: str) -> Contributions:
        """What each bridge adds at each token of a text.

        Returns:
            Per token, augment and anchor layer: the gate, and |residual| / |hidden|.

        Raises:
            ComposeError: the model was composed without a tokenizer.
        """
        return contributions(self, text)

    def save_bridges(
        self,
        folder: str | Path,
        *,
        recipe: Mapping[str, Any] | None = None,
        scores: Mapping[str, Any] | None = None,
    ) -> None:
        """Write each augment's stack as a bundle into `folder/<augment>`; an earlier bundle there is replaced.

        Args:
            recipe: how the bridges were trained, for the cards.
            scores: what the composition reaches, for the cards.

        Raises:
            BundleError: a weight is NaN or infinite, or a folder there is not a bundle.
        """
        for name in self._toggles.names:
            self.save_stack(name, Path(folder) / name, recipe=recipe, scores=scores)

    def save_stack(
        self,
        name: str,
        folder: Path,
        *,
        recipe: Mapping[str, Any] | None = None,
        scores: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the stack of one augment as a bundle; see `save_bridges`."""
        write_bundle(
            folder,
            {key: weight.detach().cpu() for key, weight in self.stack(name).state_dict().items()},
            sites=tuple(site for site in self.plan.graph.sites if site.augment == name),
            anchor=self._identify("anchor"),
            augment=self._identify(name),
            recipe=recipe,
            scores=scores,
        )

    def traced(self, input_ids: Tensor) -> list[Trace]:
        """Run ids of shape ``(batch, seq)`` through the composition once, and return what each bridge did."""
        state = self._read(input_ids, full_mask(input_ids, None, 0), None)
        traces: list[Trace] = []
        with running(replace(state, traces=traces)):
            self._run_anchor(input_ids, None, None, None, logits_to_keep=1)
        return traces

    def save_pretrained(  # type: ignore[override]  # the other arguments are about weights that we do not save
        self, save_directory: str | Path, **_: Any
    ) -> None:
        """Save what is ours to save: the bridges. Anchor and augments stay where they came from."""
        self.save_bridges(save_directory)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a composition is declared by a graph."""
        raise ComposeError("a composed model is loaded from its graph: orchestra.load('graph.json').")

    def __repr__(self) -> str:
        return f"ComposedModel(anchor={type(self.anchor).__name__}, active={list(self.active)})\n{self.plan}"


def _key(name: str) -> str:
    """Key of an augment in a ModuleDict, where bare names such as 'keys' are taken."""
    return f"augment_{name}"


def _accepts(model: nn.Module, argument: str) -> bool:
    return argument in inspect.signature(model.forward).parameters


def _positions(mask: Tensor | None, ids: Tensor) -> Tensor | None:
    """Position ids of the new tokens, counted from the mask; None leaves counting to the model."""
    if mask is None:
        return None
    return (mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
