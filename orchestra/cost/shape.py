"""The matrices of a decoder: the linear maps of its layers, its attention, its head.

Norms and biases are left out: they multiply no matrices, and are few.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """A linear map of a layer.

    Attributes:
        name: of its module; several maps of a layer may have one name.
        first: whether it reads the layer's input, and nothing that the layer made.
    """

    name: str
    d_in: int
    d_out: int
    first: bool = False

    @property
    def size(self) -> int:
        """Numbers in its matrix."""
        return self.d_in * self.d_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Feed-forward parts of which each token goes through some.

    Attributes:
        size: numbers in one of them.
        router: numbers in what chooses.
    """

    count: int
    chosen: int
    size: int
    router: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer.

    Attributes:
        d_attention: heads times the width of a head: what a query is multiplied with, for each key, and each value.
        d_kept: numbers that its cache keeps of a token: keys and values.
        window: how many tokens it attends to, where that is limited.
    """

    maps: tuple[Map, ...]
    d_attention: int
    d_kept: int
    window: int | None = None
    experts: Experts | None = None

    @property
    def num_params(self) -> int:
        """Numbers in its matrices."""
        experts = self.experts
        return sum(each.size for each in self.maps) + (experts.count * experts.size + experts.router if experts else 0)

    @property
    def num_active(self) -> int:
        """Of these, those that a token is multiplied with."""
        experts = self.experts
        return sum(each.size for each in self.maps) + (experts.chosen * experts.size + experts.router if experts else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of a decoder.

    Attributes:
        known: whether its architecture is one of those of `orchestra.cost.config`; else it is taken for one like llama.
        embedding: numbers in its table of tokens.
        positions: numbers in its table of positions, where it has one.
        entry: numbers in the matrix behind the table of tokens, where there is one.
        exit: numbers in the one behind the layers, likewise.
        head: numbers in the matrix that makes logits.
        tied: whether its head is its table of tokens.
        dtype: that its config names; None where it names none.
        longest: how many tokens its config says it reads; None where it does not say.
    """

    model_type: str
    known: bool
    layers: tuple[Layer, ...]
    embedding: int
    positions: int
    entry: int
    exit: int
    head: int
    tied: bool
    dtype: str | None
    longest: int | None

    @property
    def num_params(self) -> int:
        """Numbers in all of its matrices."""
        tables = self.embedding + self.positions + self.entry + self.exit
        head = self.head - self.embedding if self.tied else self.head
        return tables + head + sum(layer.num_params for layer in self.layers)

    def upto(self, num_layers: int) -> "Shape":
        """The same without its head and without the layers above the first few."""
        return replace(self, layers=self.layers[:num_layers], head=0, tied=False)

    def unwindowed(self) -> "Shape":
        """The same with a cache that lets go of nothing."""
        return replace(self, layers=tuple(replace(layer, window=None) for layer in self.layers))
