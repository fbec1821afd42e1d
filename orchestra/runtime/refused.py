"""What a model of transformers can do and a composition cannot: refused in words, never half done."""

from typing import Any, NoReturn

from orchestra.errors import ComposeError


class Refused:
    """Goes before `PreTrainedModel` among a composed model's parents."""

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a composition is declared by a graph."""
        raise ComposeError("a composed model is loaded from its graph: orchestra.load('graph.json').")

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: the anchor is frozen, and the augments read the same ids."""
        raise ComposeError("the models of a composition are frozen: resize their embeddings before composing them.")

    def set_output_embeddings(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: among others, sampling with an assistant of another tokenizer prunes the assistant's head."""
        raise ComposeError(
            "the models of a composition are frozen: exchange their heads before composing them (as an assistant of "
            "another tokenizer it guesses greedily only: do_sample=False)."
        )
