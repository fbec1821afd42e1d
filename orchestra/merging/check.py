"""Whether models can be merged as a recipe says: every problem at once, before a weight is read."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestra.merging import parameters
from orchestra.merging.document import builds_tokenizer, named
from orchestra.merging.groups import Group, Input, SourceFacts, groups, like
from orchestra.merging.methods import CHAT_TEMPLATES, METHODS, Method

_SHOWN = 3  # tensors that are named of a model that does not fit


def check(recipe: Mapping[str, Any], sources: Mapping[str, SourceFacts], *, tokenizer: str | None = None) -> list[str]:
    """What is wrong with a recipe beyond its fields (`structure`), a line each; nothing where the merge can be made.

    Args:
        sources: the facts of its models, by name; those that are not there are unknown.
        tokenizer: the folder whose tokenizer the result takes, where that is said.
    """
    problems = list(_form(recipe, tokenizer))
    found = groups(recipe)
    method = recipe.get("merge_method")
    if isinstance(method, str) and method in METHODS:
        for group in found:
            problems += _numbers(group, recipe, method)
        problems += parameters.misfits(recipe, found, sources)
    for group in found:
        problems += _layers(group, sources)
    problems += [*_unlike(recipe, found, sources), *_unlike_kinds(recipe, found, sources)]
    return list(dict.fromkeys(problems))


def _form(recipe: Mapping[str, Any], tokenizer: str | None) -> Iterator[str]:
    forms = [form for form in ("models", "slices", "modules") if recipe.get(form)]
    if not forms and not any(form in recipe for form in ("models", "slices", "modules")):
        yield "models is missing: a recipe names what it merges in 'models', 'slices' or 'modules'."
    if len(forms) > 1:
        yield f"{forms[0]} excludes {' and '.join(forms[1:])}: give one of them."
    module = recipe.get("modules")
    part = module.get("default") if isinstance(module, Mapping) else None
    if isinstance(part, Mapping) and bool(part.get("models")) == bool(part.get("slices")):
        yield "modules.default needs 'models' or 'slices', one of them."
    if recipe.get("tokenizer_source") is not None and recipe.get("tokenizer") is not None:
        yield "tokenizer excludes tokenizer_source: give one of them."
    template = recipe.get("chat_template")
    if (
        isinstance(template, str)
        and template not in ("auto", *CHAT_TEMPLATES)
        and ("{" not in template or len(template) < 20)
    ):
        yield f"chat_template is {template!r}; allowed: 'auto', {', '.join(map(repr, CHAT_TEMPLATES))}, or a template."
    if tokenizer is not None:
        for field in ("tokenizer", "tokenizer_source", "chat_template"):
            if recipe.get(field) is not None:
                yield f"{field} changes the tokenizer, but the one in {tokenizer!r} is to be kept: drop one of them."


def _numbers(group: Group, recipe: Mapping[str, Any], method: str) -> Iterator[str]:
    """How many models there are, and whether the base is one of them."""
    takes: Method = METHODS[method]
    if not group.readable:
        return
    first: dict[str, str] = {}
    for one in group.inputs:
        if first.setdefault(one.name, one.model_field) != one.model_field:
            yield f"{one.model_field} is {one.name!r} again; {first[one.name]} is it already."
    base = sum(map(group.is_base, group.inputs))
    if takes.base == "required" and group.base is None:
        yield f"base_model is missing: {method} needs one."
    elif takes.base != "ignored" and group.base is not None and not base:
        yield f"{group.field} has no base model among it; {method} needs {group.base!r} there."
    else:
        total = len(first)
        for what, count, (least, most) in (("models", total, takes.models), ("others", total - base, takes.others)):
            if count < least or (most is not None and count > most):
                with_base = ", the base model among them" if takes.base == "required" and what == "models" else ""
                beside = " beside the base model" if what == "others" else ""
                wanted = f"{least}" if most == least else f"at least {least}" if count < least else f"at most {most}"
                added = " with base_model" if any(one.field == "base_model" for one in group.inputs) else ""
                yield f"{group.field}{added} has {count}; {method} merges {wanted}{with_base}{beside}."


def _layers(group: Group, sources: Mapping[str, SourceFacts]) -> Iterator[str]:
    """Layers past a model's end, and stretches that differ in length."""
    taken: dict[str, int] = {}
    for one in group.inputs:
        facts = sources.get(one.name)
        if one.layers is not None:
            taken[one.field] = one.layers[1] - one.layers[0]
        elif facts is not None and group.field.endswith("models"):
            taken[one.field] = facts.num_layers
        if one.layers is not None and facts is not None and one.layers[1] > facts.num_layers:
            yield (
                f"{one.field}.layer_range is {list(one.layers)}, but {one.name} has {facts.num_layers} layers: "
                f"it ends at {facts.num_layers} at the latest."
            )
    field, count = next(iter(taken.items()), ("", 0))
    for other, more in taken.items():
        if more != count:
            hint = "" if group.field.endswith("sources") else "; 'slices' may take a part of each"
            yield f"{other} has {_counted(more)}, but {field} has {_counted(count)}{hint}."


def _counted(layers: int) -> str:
    return f"{layers} layer" if layers == 1 else f"{layers} layers"


def _unlike(recipe: Mapping[str, Any], found: list[Group], sources: Mapping[str, SourceFacts]) -> Iterator[str]:
    """Models that cannot be merged with the first one."""
    seen: dict[str, tuple[str, SourceFacts]] = {}
    for field, name in _merged(recipe, found):
        if name in sources:
            seen.setdefault(sources[name].path, (field, sources[name]))
    models = list(seen.values())
    for field, facts in models[1:]:
        yield from _misfits(field, facts, *models[0], built=builds_tokenizer(recipe))


def _merged(recipe: Mapping[str, Any], found: list[Group]) -> list[tuple[str, str]]:
    """The fields and names of all models that are merged, the base model first."""
    base = named(recipe.get("base_model"))
    inputs: list[Input] = [one for group in found for one in group.inputs]
    return [*([("base_model", base)] if base else []), *((one.model_field, one.name) for one in inputs)]


def _misfits(field: str, facts: SourceFacts, first: str, ours: SourceFacts, *, built: bool) -> Iterator[str]:
    if facts.architecture != ours.architecture:
        yield (
            f"{field} is a {facts.architecture}, but {first} is a {ours.architecture}: "
            "models of one architecture are merged."
        )
        return
    if facts.vocab_size != ours.vocab_size and not built:
        yield (
            f"{field} has {facts.vocab_size} tokens, but {first} has {ours.vocab_size}: "
            "set 'tokenizer_source' to 'union', 'base' or a model."
        )
    theirs, own = _shapes(facts), _shapes(ours)
    wrong = [
        f"{field} has {name} of shape {_told(theirs[name])}, but {first} of {_told(own[name])}."
        for name in own
        if name in theirs and theirs[name] != own[name]
    ]
    wrong += [f"{field} has no {name}, which {first} has." for name in own if name not in theirs]
    wrong += [f"{field} has {name}, which {first} has not." for name in theirs if name not in own]
    yield from wrong[:_SHOWN]
    if len(wrong) > _SHOWN:
        yield f"{field} differs from {first} in {len(wrong) - _SHOWN} more."


def _shapes(facts: SourceFacts) -> dict[str, set[tuple[int, ...]]]:
    """Shapes by the name without its layer; those by token are left out, and compared by their number."""
    found: dict[str, set[tuple[int, ...]]] = {}
    for name, shape in facts.shapes.items():
        if shape[:1] != (facts.vocab_size,):
            found.setdefault(like(name), set()).add(shape)
    return found


def _told(shapes: set[tuple[int, ...]]) -> str:
    return " and ".join(str(list(shape)) for shape in sorted(shapes))


def _unlike_kinds(recipe: Mapping[str, Any], found: list[Group], sources: Mapping[str, SourceFacts]) -> Iterator[str]:
    """Layers that come to stand where the config lists another kind; mergekit 0.1.5 keeps the list as it is."""
    stretches = [(group.inputs[0], group) for group in found if group.inputs and group.inputs[0].layers is not None]
    merged = _merged(recipe, found)
    first = sources.get(merged[0][1]) if merged else None
    if first is None or not first.layer_kinds or any(one.name not in sources for one, _ in stretches):
        return
    place = 0
    for one, group in stretches:
        for layer in range(*(one.layers or (0, 0))):
            kinds, wanted = sources[one.name].layer_kinds, first.layer_kinds[place : place + 1]
            if wanted and layer < len(kinds) and kinds[layer] != wanted[0]:
                yield (
                    f"{group.field} puts layer {layer} of {one.name}, {kinds[layer]}, where the config of "
                    f"{merged[0][1]} has {wanted[0]}: mergekit keeps the config's list of kinds (layer_types)."
                )
            place += 1
    if stretches and place != len(first.layer_kinds):
        yield (
            f"slices give {_counted(place)}, but the config of {merged[0][1]} lists the kinds of "
            f"{len(first.layer_kinds)} (layer_types), and mergekit keeps that list: give as many."
        )
