"""For which texts a cost is asked."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestra.errors import ComposeError
from orchestra.graph import Graph, Node
from orchestra.wiring import ANCHOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The texts: all of one size.

    Attributes:
        prompt_length: tokens of the anchor that are read at once.
        new_tokens: how many are read one by one behind them, each as it is written.
        batch: texts at a time; they share what is done once for a cache.
        tokens_per_token: by augment that reads a stream, how many tokens of its own it reads for each of the anchor's,
            unfinished words included; 1 where nothing is said.

    Raises:
        ComposeError: one of them is too small.
    """

    prompt_length: int = 128
    new_tokens: int = 64
    batch: int = 1
    tokens_per_token: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ComposeError.listing(problems)

    def _problems(self) -> Iterator[str]:
        for name in ("prompt_length", "new_tokens", "batch"):
            if (value := getattr(self, name)) < 1:
                yield f"{name} is {value}; it must be at least 1."
        for name, ratio in self.tokens_per_token.items():
            if not 0 < ratio < float("inf"):
                yield f"tokens_per_token of {name} is {ratio}; it must be above 0."

    @property
    def length(self) -> int:
        """Tokens of a whole text."""
        return self.prompt_length + self.new_tokens

    def fit(self, graph: Graph) -> None:
        """See that what is said of augments is said of some that read streams.

        Raises:
            ComposeError: it is not; every problem is listed.
        """
        nodes = {node.name: node for node in graph.augments}
        problems = [line for name in self.tokens_per_token if (line := _misfit(name, nodes))]
        if problems:
            raise ComposeError.listing(problems)

    def tokens(self, node: Node, of: float) -> float:
        """How many tokens a model reads for so many of the anchor's."""
        return of if node.name == ANCHOR or node.reads == "ids" else of * self.tokens_per_token.get(node.name, 1.0)


def _misfit(name: str, nodes: Mapping[str, Node]) -> str | None:
    field = f"tokens_per_token names {json.dumps(name)}"
    if name not in nodes:
        close = difflib.get_close_matches(name, nodes, n=1)
        hint = f"did you mean {json.dumps(close[0])}?" if close else f"it has {', '.join(nodes)}."
        return f"{field}, which is no augment of this graph; {hint}"
    if nodes[name].reads == "ids":
        return f"{field}, which reads the anchor's tokens, one for one; drop it."
    return None
