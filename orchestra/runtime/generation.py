"""How transformers' generation meets a composed model: with a cache of ours, or not at all."""

from typing import Any, NoReturn

from transformers import GenerationConfig, GenerationMixin

from orchestra.errors import ComposeError
from orchestra.runtime.cache import ComposedCache, ours


class ComposedGenerationMixin(GenerationMixin):
    """`generate`, as transformers has it, for a model that brings its own cache."""

    def new_cache(self) -> ComposedCache:
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
        if generation_config.cache_implementation not in (None, "dynamic"):
            raise ComposeError(
                f"cache_implementation is {generation_config.cache_implementation!r}; "
                "a composed model generates with its own dynamic cache only: drop the argument."
            )
        if model_kwargs.get("past_key_values") is not None:
            ours(model_kwargs["past_key_values"])
        elif generation_config.use_cache is not False:
            cache = self.new_cache()
            if generation_config.is_assistant:
                cache.activate_past_recording()
            model_kwargs["past_key_values"] = cache

    def generate_batch(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: continuous batching would decode wrong tokens."""
        raise ComposeError("continuous batching is not supported: use generate.")

    def init_continuous_batching(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused, as `generate_batch`."""
        self.generate_batch()
