"""What a recipe merges with what: one group of models for each stretch of the result's layers.

Reads what it can of a recipe that is malformed elsewhere, so that all of its problems come at once.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestra.merging.document import named

_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What is known of a model that is merged, before a weight is read.

    Attributes:
        path: its folder.
        shapes: of its tensors, by name.
        tokenizer: SHA-256 of what decides the ids of a text; None when unknown.
    """

    path: str
    config: Mapping[str, Any]
    architecture: str
    num_layers: int
    vocab_size: int
    shapes: Mapping[str, tuple[int, ...]]
    weight_bytes: int
    tokenizer: str | None = None

    @property
    def layer_kinds(self) -> list[str]:
        """What its config says of each layer; nothing where all are alike."""
        text = self.config.get("text_config")
        listed = (text if isinstance(text, Mapping) else self.config).get("layer_types")
        return list(map(str, listed)) if isinstance(listed, list) else []

    def tensors(self, layers: tuple[int, int] | None = None) -> list[str]:
        """The names of its tensors; of a stretch of layers, theirs alone."""
        if layers is None:
            return list(self.shapes)
        return [name for name in self.shapes if (layer := layer_of(name)) is not None and layer in range(*layers)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A model of a group.

    Attributes:
        field: where the recipe names it.
        layers: the first that is taken, and the one after the last; None for all.
    """

    field: str
    name: str
    layers: tuple[int, int] | None
    parameters: Mapping[str, Any]

    @property
    def model_field(self) -> str:
        """The field that holds its name."""
        return self.field if self.field.endswith("base_model") else f"{self.field}.model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Models that are merged with each other.

    Attributes:
        field: where the recipe lists them.
        base: the name of the base model.
        settings: parameters that hold for all of them, by field; what stands first counts.
        readable: whether the recipe lists nothing that could not be read.
    """

    field: str
    inputs: tuple[Input, ...]
    base: str | None
    settings: tuple[tuple[str, Mapping[str, Any]], ...]
    readable: bool

    def is_base(self, one: Input) -> bool:
        """Whether an input is the base model."""
        return self.base is not None and one.name == self.base


def groups(recipe: Mapping[str, Any]) -> list[Group]:
    """The groups of a recipe, in the order of the result's layers."""
    module = recipe.get("modules", {}).get("default") if isinstance(recipe.get("modules"), Mapping) else None
    found = list(_groups(recipe, "", recipe, ()))
    if isinstance(module, Mapping):
        place = ("modules.default.parameters", _mapping(module.get("parameters")))
        found += _groups(module, "modules.default.", recipe, (place,))
    return found


def layer_of(tensor: str) -> int | None:
    """The layer that a tensor belongs to, by its name; None where it belongs to none."""
    match = _LAYER.search(tensor)
    return int(match.group(1)) if match else None


def like(tensor: str) -> str:
    """A tensor's name without its layer: that of its like in every layer."""
    return _LAYER.sub(".#.", tensor, count=1)


def _groups(
    holder: Mapping[str, Any], prefix: str, recipe: Mapping[str, Any], places: Sequence[tuple[str, Mapping[str, Any]]]
) -> Iterator[Group]:
    base = named(recipe.get("base_model"))
    settings = (*places, ("parameters", _mapping(recipe.get("parameters"))))
    if models := _list(holder.get("models")):
        inputs = [_input(model, f"{prefix}models.{index}", whole=True) for index, model in enumerate(models)]
        read = [one for one in inputs if one is not None]
        if base is not None and base not in {one.name for one in read}:  # mergekit adds it
            read.append(Input(field="base_model", name=base, layers=None, parameters={}))
        whole = len(read) >= len(inputs) and None not in inputs
        yield Group(field=f"{prefix}models", inputs=tuple(read), base=base, settings=settings, readable=whole)
    for index, piece in enumerate(_list(holder.get("slices"))):
        if not isinstance(piece, Mapping):
            continue
        field = f"{prefix}slices.{index}"
        sources = _list(piece.get("sources"))
        inputs = [_input(source, f"{field}.sources.{place}") for place, source in enumerate(sources)]
        yield Group(
            field=f"{field}.sources",
            inputs=tuple(one for one in inputs if one is not None),
            base=named(piece.get("base_model")) or base,
            settings=((f"{field}.parameters", _mapping(piece.get("parameters"))), *settings),
            readable=bool(inputs) and None not in inputs,
        )


def _input(value: object, field: str, *, whole: bool = False) -> Input | None:
    if not isinstance(value, Mapping) or (name := named(value.get("model"))) is None:
        return None
    pair = () if whole else _list(value.get("layer_range"))
    readable = len(pair) == 2 and all(type(layer) is int and layer >= 0 for layer in pair) and pair[0] < pair[1]
    return Input(
        field=field,
        name=name,
        layers=(pair[0], pair[1]) if readable else None,
        parameters=_mapping(value.get("parameters")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()
