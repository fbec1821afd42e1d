"""The config of a composed model: what transformers asks of any model, answered by the anchor's."""

from typing import Any

from transformers import PreTrainedConfig


class ComposedConfig(PreTrainedConfig):
    """Config of a composed model; generation and caches see the anchor's."""

    model_type = "orchestra"
    keys_to_ignore_at_inference = ("past_key_values",)

    def __init__(self, anchor: PreTrainedConfig | None = None, *, use_cache: bool = True, **kwargs: Any) -> None:
        self.anchor = anchor  # first: the base class asks for the text config while it starts
        super().__init__(**kwargs)
        self.use_cache = use_cache

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """The anchor's text config."""
        if self.anchor is None:
            return self
        return self.anchor.get_text_config(decoder=decoder, encoder=encoder)


def shortest(*models: PreTrainedConfig) -> int | None:
    """How many tokens the least of some models says it reads; None where none says."""
    said = (getattr(config.get_text_config(decoder=True), "max_position_embeddings", None) for config in models)
    return min((length for length in said if length is not None), default=None)
