"""How transformers' generation meets a composed model: with a cache of ours, or not at all."""

from typing import Any, NoReturn

from transformers import GenerationConfig, GenerationMixin
from transformers.generation.configuration_utils import GenerationMode

from orchestra.errors import ComposeError
from orchestra.runtime.cache import ComposedCache, ours


class ComposedGenerationMixin(GenerationMixin):
    """`generate`, as transformers has it, for a model that brings its own cache."""

    def new_cache(self, *, offloading: bool = False) -> ComposedCache:
        """An empty cache of the model."""
        raise NotImplementedError

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
            cache = self.new_cache(offloading=generation_config.cache_implementation == "offloaded")
            if generation_config.is_assistant:
                cache.activate_past_recording()
            model_kwargs["past_key_values"] = cache

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
