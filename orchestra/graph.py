"""What a graph is: models, who feeds whom, at which sites. Pure values; `checking.check` makes one of a document."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

import networkx as nx

from orchestra import wiring
from orchestra.merging.merge import Merge
from orchestra.wiring import ANCHOR

ALIGNMENT_VERSION = 1
"""Raised when the way augment tokens are aligned to anchor tokens changes, so that older bundles are refused."""

FEEDS = ">"
"""In the name of a stack into an augment, between the two; no augment's name has it."""

AnchorLayer = int | Literal["embedding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A repository on the Hub, at a commit."""

    repo: str
    commit: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of a model before a weight is read.

    Attributes:
        source: where it comes from, as an absolute path or a name for a model already in memory.
        tokenizer: SHA-256 of what decides the token ids, of the tokenizer in force; None when unknown.
        num_params, weight_bytes: read from the headers of its files; None when unknown.
        conversion: how its file becomes tensors, for one that is not safetensors.
        origin: whence on the Hub it came; None for one that did not.
        merge: how it is made, for one that is merged of others.
        parents: of a merge, whence on the Hub each of its models came, by their numbers.
        adapters: likewise each adapter that is added to one of them.
    """

    source: str
    model_type: str
    num_layers: int
    d_model: int
    num_heads: int
    vocab_size: int
    tokenizer: str | None = None
    num_params: int | None = None
    weight_bytes: int | None = None
    conversion: str | None = None
    origin: Origin | None = None
    merge: Merge | None = None
    parents: tuple[Origin | None, ...] = ()
    adapters: tuple[Origin | None, ...] = ()

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The repositories that its weights come from, those of adapters apart."""
        merged = self.parents[: self.merge.merged] if self.merge else (self.origin,)
        return tuple(origin for origin in merged if origin is not None)

    @property
    def name(self) -> str:
        """What people call it: its id on the Hub, else the name of its folder, or what it is merged of."""
        if self.merge is not None:
            return self.source
        return self.origin.repo if self.origin else PurePath(self.source).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One bridge, placed and sized. Layers count from 0; 'embedding' is the input of anchor layer 0.

    Attributes:
        into: the model that is fed. To a bridge into another augment that one is the anchor: `anchor_layer` and
            `d_anchor` are its.
    """

    augment: str
    augment_layer: int
    anchor_layer: AnchorLayer
    d_augment: int
    d_anchor: int
    num_heads: int
    gate: Literal["none", "scalar", "token"] = "scalar"
    positions: Literal["rotary", "none"] = "rotary"
    variant: Literal["orchestra", "calm"] = "orchestra"
    into: str = ANCHOR

    @property
    def key(self) -> str:
        """The site's name inside its stack, in bundles and in errors."""
        return f"anchor_{self.anchor_layer}_from_{self.augment_layer}"

    @property
    def depth(self) -> int:
        """Order along the anchor: the embedding comes before layer 0."""
        return -1 if self.anchor_layer == "embedding" else self.anchor_layer

    def __str__(self) -> str:
        return (
            f"{self.into} {self.anchor_layer} <- {self.augment} {self.augment_layer}   "
            f"({self.d_augment} -> {self.d_anchor}, {self.num_heads} heads)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts:
    """What a bundle says of itself: its sites, and what they were trained between."""

    source: str
    sites: tuple[Site, ...]
    alignment_version: int
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the outside world says about a document: models by name ('anchor' and augments), bundles by stack.

    Attributes:
        tokenizers: the folder or GGUF file of each model's tokenizer.
    """

    models: Mapping[str, ModelFacts]
    bundles: Mapping[str, BundleFacts] = field(default_factory=dict)
    tokenizers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One stack: who is read, who is fed, and where its bridges come from.

    Attributes:
        field: where the document says so.
        bundle: the folder of its bundle; None for a fresh stack.
        origin: whence on the Hub the bundle came; None for one that did not.
        seed: of fresh weights.
    """

    augment: str
    into: str
    field: str
    bundle: str | None = None
    origin: Origin | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """What the stack is called; an augment's that feeds the anchor has the augment's name."""
        return stack_name(self.augment, self.into)


def stack_name(augment: str, into: str = ANCHOR) -> str:
    """The name of the stack that leads from an augment into a model."""
    return augment if into == ANCHOR else f"{augment}{FEEDS}{into}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A model of the graph: its facts, how it is to be held, and what it reads.

    Attributes:
        context: every token, or the prompt only.
        reads: the anchor's ids, or a stream of its own tokens. What the fingerprints say; `load` compares the
            tokenizers themselves.
        tokenizer: the folder or GGUF file that its tokenizer comes from; None where none is known or it is in memory.
        template: the text that the anchor's special tokens become in its stream.
        tail: whether what its stream holds back is read ahead.
    """

    name: str
    facts: ModelFacts
    dtype: str
    device: str
    enabled: bool = True
    context: Literal["refresh", "prompt"] = "refresh"
    reads: Literal["ids", "stream"] = "ids"
    tokenizer: str | None = None
    template: Mapping[str, str] | None = None
    tail: Literal["held", "provisional"] = "held"


def alike(one: Node, other: Node) -> bool:
    """Whether two augments read streams of the same tokens."""
    if not one.reads == other.reads == "stream" or one.facts.tokenizer is None:
        return False
    first, second = ((node.template, node.tail, node.context, node.facts.vocab_size) for node in (one, other))
    return one.facts.tokenizer == other.facts.tokenizer and first == second


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A composition that can exist.

    Attributes:
        augments: sorted by name, so that the order in the document changes nothing.
        sites: of each model that is fed, in the order in which they run; there sorted by place, then
            (augment, augment_layer): the order of summation.
        stacks: sorted by augment, then by the model that is fed, the anchor first.
    """

    description: str
    anchor: Node
    augments: tuple[Node, ...]
    sites: tuple[Site, ...]
    stacks: tuple[Feed, ...]

    def wiring(self) -> "nx.MultiDiGraph[str]":
        """The graph as networkx sees it: an edge per site, from augment to the model that it feeds."""
        wires: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        wires.add_nodes_from([self.anchor.name, *(node.name for node in self.augments)])
        for site in self.sites:
            wires.add_edge(site.augment, site.into, key=site.key)
        return wires

    def place_of(self, stack: Feed) -> str:
        """Where a stack's bundle goes below a folder of bundles: by augment, and by target where there are several."""
        return stack.augment if len(self.feeds[stack.augment]) == 1 else f"{stack.augment}/{stack.into}"

    def sites_of(self, stack: Feed) -> tuple[Site, ...]:
        """The sites of one stack."""
        return tuple(site for site in self.sites if (site.augment, site.into) == (stack.augment, stack.into))

    @property
    def feeds(self) -> dict[str, tuple[str, ...]]:
        """Whom each augment feeds."""
        return {node.name: tuple(s.into for s in self.stacks if s.augment == node.name) for node in self.augments}

    @property
    def deep(self) -> bool:
        """Whether an augment feeds another."""
        return any(stack.into != ANCHOR for stack in self.stacks)

    @property
    def order(self) -> tuple[str, ...]:
        """The augments in the order in which they run."""
        return wiring.order(self.feeds)
