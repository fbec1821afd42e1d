"""What came of a probing."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from orchestra.probing.linear import Interval

if TYPE_CHECKING:
    from orchestra.probing.sites import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerScore:
    """What the states after one layer tell, at one kind of place, of texts that nothing was fitted on.

    Attributes:
        told: how often a linear probe tells the label.
        explained: R² of a ridge regression onto the anchor's embedding of the label's first token. This bounds a
            bridge, which is linear in what stands at a place; `told` does not.
        nearest: how often the embedding nearest to what is regressed is the right one, of all that were fitted on.
        as_good: whether the model's best layer cannot be told from this one by `explained`.
        alike: of an augment's layer, R² of regressions onto the anchor's own state at the place, by anchor layer.
    """

    layer: int | str
    told: Interval
    explained: Interval
    nearest: Interval
    as_good: bool
    alike: Mapping[str, float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """One kind of place.

    Attributes:
        kind: "prompt", the last token of prompts; "spans", the last tokens of spans.
        num_fit, num_held: places fitted on, and scored on.
        num_labels: different labels that were fitted on, the most frequent ones where there are more than `classes`.
        num_tokens: different tokens of the anchor that labels begin with, on both sides; if it is one, there is nothing
            for R² to explain.
        known: how often a held-out label is one of these: no probe tells more.
        most_frequent: how often it is the most frequent of these: what a probe of nothing tells.
        layers: by model, the anchor among them: what it knows without bridges.
        adds: by augment, how much R² grows where its best layer's state is read beside that of the anchor's best.
    """

    kind: str
    num_fit: int
    num_held: int
    num_labels: int
    num_tokens: int
    known: float
    most_frequent: Interval
    layers: Mapping[str, tuple[LayerScore, ...]]
    adds: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What each layer holds, and the bridges that this speaks for, by augment."""

    places: tuple[Places, ...]
    pairs: Mapping[str, tuple["Pair", ...]]
    num_texts: tuple[int, int]
    seed: int

    def as_json(self) -> dict[str, Any]:
        """The same, in what JSON knows."""
        return asdict(self)


def tables(found: Probed) -> Iterator[Table | Text]:
    """What was found, for people."""
    yield Text(f"Fitted on {found.num_texts[0]} records, scored on {found.num_texts[1]} others; 95% intervals")
    for places in found.places:
        where = "At the prompt's last token" if places.kind == "prompt" else "At the last token of spans"
        yield Text(f"{where}: {places.num_fit} + {places.num_held} places")
        yield Text(f"Of the held-out labels {places.known:.2f} are among the {places.num_labels} that were fitted on,")
        yield Text(f"and {places.most_frequent} are the most frequent of these")
        if places.num_tokens == 1:
            yield Text("All labels begin with the same token of the anchor: R² and nearest say nothing")
        yield _table(places)
        for name, more in places.adds.items():
            yield Text(f"Beside the anchor's best state, that of {name} adds {more} to R²")


def _table(places: Places) -> Table:
    table = Table()
    for index, name in enumerate(("layer", "probe", "R²", "nearest", "anchor's state")):
        table.add_column(name, justify="right" if index else "left")
    for name, scores in places.layers.items():
        for score in scores if name != "anchor" else _best(scores):
            label = f"{name} {score.layer}" + (" (its best)" if name == "anchor" else "")
            table.add_row(label, str(score.told), str(score.explained), str(score.nearest), _alike(score))
        table.add_section()
    return table


def _best(scores: tuple[LayerScore, ...]) -> list[LayerScore]:
    """The layer that explains most, else the one that tells most."""
    return [max(scores, key=lambda each: (each.explained.value or 0.0, each.told.value or 0.0))]


def _alike(score: LayerScore) -> str:
    """The anchor layer whose state is told best."""
    known = [(share, layer) for layer, share in (score.alike or {}).items() if share is not None]
    if not known:
        return "-"
    share, layer = max(known)
    return f"{round(share, 2) + 0.0:.2f} of {layer}"
