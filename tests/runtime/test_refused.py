import re

import pytest

from orchestra import ComposedModel, ComposeError
from tests.tiny import ring


def refusal(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_weights_are_loaded_by_the_graph_alone() -> None:
    message = "a composed model is loaded from its graph: orchestra.load('graph.json')."
    with pytest.raises(ComposeError, match=refusal(message)):
        ComposedModel.from_pretrained("anywhere")


def test_embeddings_are_not_resized() -> None:
    message = "the models of a composition are frozen: resize their embeddings before composing them."
    with pytest.raises(ComposeError, match=refusal(message)):
        ring(0).resize_token_embeddings(101)
