"""Whether a recipe's parameters are those of its method, stand where they are read, and have values that fit."""

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from orchestra.merging.groups import Group, Input, SourceFacts
from orchestra.merging.methods import EPSILON, METHODS, Kind
from orchestra.problems import show

_HEAD = "lm_head.weight"  # some checkpoints do not hold it, and recipes name it all the same


def misfits(recipe: Mapping[str, Any], groups: list[Group], sources: Mapping[str, SourceFacts]) -> Iterator[str]:
    """What is wrong with the parameters of a recipe, a line each.

    Args:
        sources: the facts of its models, by name; those that are not there are unknown.
    """
    name = recipe["merge_method"]
    places = {place: settings for group in groups for place, settings in group.settings}
    for place, settings in places.items():
        yield from _unfit(place, settings, name, _tensors(groups, sources), None)
    for group in groups:
        for one in group.inputs:
            yield from _unfit(
                f"{one.field}.parameters", one.parameters, name, _tensors([group], sources), group.is_base(one)
            )
        yield from dict.fromkeys(_missing(group, name, sources))
        if name.startswith("della"):
            yield from _unbalanced(group, name)


def _unfit(
    place: str, settings: Mapping[str, Any], name: str, tensors: list[str] | None, base: bool | None
) -> Iterator[str]:
    """The misfits of one object of parameters.

    Args:
        base: whether it belongs to the base model; None where it belongs to no single model.
    """
    known = METHODS[name].parameters
    for key, value in settings.items():
        parameter, field = known.get(key), f"{place}.{key}"
        if parameter is None:
            meant = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{meant[0]}'?" if meant else f"{name} has {', '.join(known) or 'none'}."
            yield f"{field} is an unknown parameter; {hint}"
        elif base is not None and parameter.scope == "merge":
            yield f"{field} is said of one model, but {name} has one for all: say it in 'parameters'."
        elif base and parameter.scope == "not base":
            yield f"{field} is said of the base model, of which {name} reads none: drop it."
        elif not _fits(value, parameter.kind):
            yield f"{field} is {show(value)}; allowed: {_allowed(parameter.kind)}."
        else:
            yield from _idle_filters(field, value, tensors)


def _fits(value: object, kind: Kind) -> bool:
    if isinstance(value, Mapping):
        return _is_conditional(value, kind)
    if not isinstance(value, list | tuple):
        return _is_scalar(value, kind)
    if kind == "whole number" or not value:
        return False
    return all(_is_scalar(one, kind) for one in value) or all(_is_conditional(one, kind) for one in value)


def _is_conditional(value: object, kind: Kind) -> bool:
    if not isinstance(value, Mapping) or not {"value"} <= value.keys() <= {"value", "filter"}:
        return False
    inner = value["value"]
    if isinstance(inner, list | tuple) and any(isinstance(one, Mapping) for one in inner):
        return False
    return not isinstance(inner, Mapping) and _fits(inner, kind) and isinstance(value.get("filter"), str | None)


def _is_scalar(value: object, kind: Kind) -> bool:
    if kind == "true or false":
        return isinstance(value, bool)
    if kind == "whole number":
        return type(value) is int
    if isinstance(value, str):  # YAML reads 1e-5 as a text
        try:
            value = float(value)
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _allowed(kind: Kind) -> str:
    if kind == "whole number":
        return "a whole number"
    return {"number": "a number, a list of numbers", "true or false": "true or false, a list of these"}[kind] + (
        ", or a list of {filter, value}"
    )


def _idle_filters(field: str, value: object, tensors: list[str] | None) -> Iterator[str]:
    """Filters that no tensor passes: misspelt, as a rule."""
    if tensors is None:
        return
    for index, condition in enumerate(value if isinstance(value, list | tuple) else [value]):
        wanted = condition.get("filter") if isinstance(condition, Mapping) else None
        if wanted not in (None, "*") and not any(wanted in tensor for tensor in (*tensors, _HEAD)):
            where = f"{field}.{index}" if isinstance(value, list | tuple) else field
            yield f"{where}.filter is {show(wanted)}, but no tensor has that in its name."


def _missing(group: Group, name: str, sources: Mapping[str, SourceFacts]) -> Iterator[str]:
    """Required parameters that a model, or a tensor of it, goes without."""
    for key, parameter in METHODS[name].parameters.items():
        if not parameter.required:
            continue
        if parameter.scope == "merge":
            yield from _gap(group, None, key, name, sources)
            continue
        for one in group.inputs:
            if parameter.scope == "model" or not group.is_base(one):
                yield from _gap(group, one, key, name, sources)


def _gap(group: Group, one: Input | None, key: str, name: str, sources: Mapping[str, SourceFacts]) -> Iterator[str]:
    own = [(f"{one.field}.parameters", one.parameters)] if one else []
    given = [(place, settings[key]) for place, settings in (*own, *group.settings) if key in settings]
    if not given and one is None:
        yield f"parameters has no '{key}', which {name} needs."
    elif not given and one is not None and one.field == "base_model":
        yield f"base_model has no '{key}': {name} merges it as any other model; list it among them with one."
    elif not given and one is not None:
        yield f"{one.field}.parameters has no '{key}', which {name} needs for it, here or in 'parameters'."
    else:
        of = one or next(iter(group.inputs), None)
        tensors = sources[of.name].tensors(of.layers) if of and of.name in sources else []
        bare = next((tensor for tensor in tensors if not any(_covers(value, tensor) for _, value in given)), None)
        if bare is not None:
            yield f"{given[-1][0]}.{key} says nothing of {bare}; end it with a value without a filter."


def _covers(value: object, tensor: str) -> bool:
    conditions = [value] if isinstance(value, Mapping) else value
    if not isinstance(conditions, list | tuple) or not any(isinstance(one, Mapping) for one in conditions):
        return True
    filters = [one.get("filter") for one in conditions if isinstance(one, Mapping)]
    return any(wanted in (None, "*") or (isinstance(wanted, str) and wanted in tensor) for wanted in filters)


def _unbalanced(group: Group, name: str) -> Iterator[str]:
    """Della drops around `density` with a chance that may lie `epsilon` higher or lower, and must be a chance."""
    for one in group.inputs:
        if group.is_base(one):
            continue
        settings = [one.parameters, *(settings for _, settings in group.settings)]
        density, epsilon = (
            next((list(_numbers(given[key])) for given in settings if key in given), [default])
            for key, default in (("density", 1.0), ("epsilon", EPSILON))
        )
        pairs = [(d, e) for d in density for e in epsilon if 0 < d < 1 and not (d - e > 0 and d + e < 1)]
        for d, e in pairs[:1]:
            yield (
                f"{one.field}: density is {d:g} and epsilon {e:g}; {name} needs density - epsilon above 0 "
                "and density + epsilon below 1."
            )


def _numbers(value: object) -> Iterator[float]:
    for one in value if isinstance(value, list | tuple) else [value]:
        inner = one.get("value") if isinstance(one, Mapping) else one
        for number in inner if isinstance(inner, list | tuple) else [inner]:
            if _is_scalar(number, "number"):
                yield float(number)  # type: ignore[arg-type]


def _tensors(groups: list[Group], sources: Mapping[str, SourceFacts]) -> list[str] | None:
    """The tensors of all models of some groups; None where a model is unknown."""
    names = {one.name for group in groups for one in group.inputs}
    if not names or not names <= sources.keys():
        return None
    return sorted({tensor for name in names for tensor in sources[name].shapes})
