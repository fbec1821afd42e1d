"""What a drawing says of a model in words, and texts that any format can hold."""

from orchestra.graph import Node
from orchestra.plan import AugmentCost


def state(cost: AugmentCost) -> str:
    """Why an augment does not run, in a word; nothing where it does."""
    return "" if cost.runs else "stopped" if cost.enabled else "off"


def reading(node: Node) -> str:
    """What an augment reads, in a few words."""
    if node.reads == "stream":
        return "a stream of the prompt" if node.context == "prompt" else "a stream"
    return "the prompt's ids" if node.context == "prompt" else "the anchor's ids"


def kind(node: Node) -> str:
    """A model's architecture and width."""
    return f"{printable(node.facts.model_type)}, width {node.facts.d_model}"


def printable(text: str) -> str:
    """A text without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def short(text: str, length: int) -> str:
    """A text, cut where it is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"
