"""How transformers' generation meets a composed model: with a cache of ours, or not at all."""

from contextlib import AbstractContextManager
from typing import Any, NoReturn

from transformers import GenerationConfig, GenerationMixin
from transformers.generation.configuration_utils import GenerationMode

from orchestra.errors import ComposeError
from orchestra.runtime.cache import ComposedCache, ours
from orchestra.runtime.prompt import stated, whole


class ComposedGenerationMixin(GenerationMixin):
    """`generate`, as transformers has it, for a model that brings its own cache."""

    def new_cache(self, *, offloading: bool = False) -> ComposedCache:
        """An empty cache of the model."""
        raise NotImplementedError

    def unswitched(self) -> AbstractContextManager[None]:
        """A block in which the augments that are on stay on, whatever is switched meanwhile."""
        raise NotImplementedError

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """`generate` of transformers; a switch that is thrown meanwhile, in another thread, waits for the next call."""
        with self.unswitched():
            return super().generate(*args, **kwargs)  # type: ignore[misc]  # its `self` is a union of theirs

    def prompt_readers(self) -> tuple[str, ...]:
        """The augments that are on and read the prompt only."""
        raise NotImplementedError

    def stream_readers(self) -> tuple[str, ...]:
        """The augments that are on and read a stream."""
        raise NotImplementedError

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Any = None,
        **model_kwargs: Any,
    ) -> Any:
        """Note how long the prompts are, while they are all that there is; a cache that goes on knows.

        Streams are cut at the end of what is given each time, also where a cache goes on.
        """
        cache = model_kwargs.get("past_key_values")
        begun = isinstance(cache, ComposedCache) and cache.get_seq_length() > 0
        if model_kwargs.get("prompt_length") is not None:
            model_kwargs["prompt_length"] = stated(model_kwargs["prompt_length"], input_ids)
        elif self.stream_readers() or (self.prompt_readers() and not begun):
            model_kwargs["cut" if begun else "prompt_length"] = whole(input_ids, model_kwargs.get("attention_mask"))
        return super()._expand_inputs_for_generation(  # type: ignore[misc]  # its `self` is a union of theirs
            expand_size, is_encoder_decoder, input_ids, **model_kwargs
        )

    def _prepare_cache_for_generation(  # type: ignore[override]  # transformers says bool, and returns nothing
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        """Give generation a cache of ours, before its first forward: assisted decoding and beams rely on it."""
        _check_way(generation_config)
        if model_kwargs.get("past_key_values") is not None:
            given = ours(model_kwargs["past_key_values"])
            if generation_mode == GenerationMode.ASSISTED_GENERATION and given.get_seq_length() > 0:
                # transformers 5.23 would read the whole text once more, behind what the cache holds.
                raise ComposeError(
                    "assisted decoding and prompt lookup start from an empty cache: drop past_key_values."
                )
        elif generation_config.use_cache is not False:
            fresh = self.new_cache(offloading=generation_config.cache_implementation == "offloaded")
            if generation_config.is_assistant:
                fresh.activate_past_recording()
            model_kwargs["past_key_values"] = fresh
        cache, cut = model_kwargs.get("past_key_values"), model_kwargs.pop("cut", None)
        if cache is not None and cut is not None and not generation_config.is_assistant:  # it begins again and again
            cache.cut = cut
        if cache is not None and (length := model_kwargs.pop("prompt_length", None)) is not None:
            # The cache hands it on to each forward; an assistant that is a plain model knows no such argument.
            mask, past = model_kwargs.get("attention_mask"), cache.get_seq_length()
            cache.note_prompt(length, past if mask is None else mask[:, :past].sum(-1))

    def generate_batch(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: continuous batching would decode wrong tokens."""
        raise ComposeError("continuous batching is not supported: use generate.")

    def init_continuous_batching(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused, as `generate_batch`."""
        self.generate_batch()


def _check_way(asked: GenerationConfig) -> None:
    """See that generation can be right the way it was asked for.

    Raises:
        ComposeError: it cannot; the message says what to use instead.
    """
    if asked.cache_implementation not in (None, "dynamic", "offloaded"):
        raise ComposeError(
            f"cache_implementation is {asked.cache_implementation!r}; a composed model generates with a dynamic cache "
            "of its own: drop the argument, or say 'offloaded' to keep it in the CPU's memory."
        )
    for argument in ("assistant_early_exit", "use_mtp", "speculation_type"):
        if getattr(asked, argument, None):  # not every version of transformers knows each
            raise ComposeError(
                f"{argument} guesses tokens from inside of one model, past the bridges: use "
                "assistant_model=model.anchor, or prompt_lookup_num_tokens."
            )
