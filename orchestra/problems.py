"""From pydantic's errors to lines that a user can act on: the field, what was found, what is allowed."""

import difflib
import json
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

# What is allowed, by pydantic's name of the error; in braces, what its context says.
_ALLOWED = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "greater_than": "a whole number above {gt}",
    "greater_than_equal": "a whole number from {ge}",
    "int_type": "a whole number",
    "literal_error": "{expected}",
    "model_type": "an object",
    "string_pattern_mismatch": "a-z, 0-9, '_' and '-', starting with a letter, at most 64 characters",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "too_short": "at least one entry",
    "tuple_type": "a list",
    "value_error": "{error}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """All errors at one place of the document.

    Attributes:
        path: the place, without pydantic's labels of the arms of a union, which the document does not have.
        holder: the part of the format whose object holds the field.
    """

    path: tuple[int | str, ...]
    holder: type[BaseModel]
    errors: dict[str, ErrorDetails] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return ".".join(map(printable, self.path))

    def fields(self) -> dict[str, str]:
        """The fields that the holder may have, and what they are for."""
        return {info.alias or name: info.description or "" for name, info in self.holder.model_fields.items()}

    def meant(self) -> str | None:
        """The field that an unknown one probably stands for."""
        return next(iter(difflib.get_close_matches(str(self.path[-1]), self.fields(), n=1)), None)


def lines(error: ValidationError, root: type[BaseModel]) -> Iterator[str]:
    """One line per problem.

    Args:
        root: the part of the format that refused the document.
    """
    spots: dict[tuple[int | str, ...], _Spot] = {}
    for detail in error.errors(include_url=False):
        spot = _spot(root, detail["loc"])
        spots.setdefault(spot.path, spot).errors.setdefault(detail["type"], detail)
    holders = {path[:depth] for path in spots for depth in range(len(path))}
    misspelt = {(*spot.path[:-1], spot.meant()) for spot in spots.values() if "extra_forbidden" in spot.errors}
    for spot in spots.values():
        # A field that may be several things is refused once for each of them: what lies deeper says why.
        if spot.path not in holders and not ("missing" in spot.errors and spot.path in misspelt):
            yield from _lines(spot)


def _spot(root: type[BaseModel], loc: tuple[int | str, ...]) -> _Spot:
    """Follow a location through the format."""
    annotation: Any = root
    holder, path = root, list[int | str]()
    for part in loc:
        arms = _arms(annotation)
        if len(arms) > 1 and part != "[key]":
            annotation = _arm(arms, str(part))
            continue
        path.append(part)
        annotation = arms[0]
        if _is_model(annotation):
            holder = annotation
            inner = {info.alias or name: info.annotation for name, info in holder.model_fields.items()}
            annotation = inner.get(str(part))
        else:
            annotation = (*get_args(annotation), None)[1 if get_origin(annotation) is dict else 0]
    return _Spot(path=tuple(path), holder=holder)


def _arms(annotation: Any) -> tuple[Any, ...]:
    """What a value may be, apart from null."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(_bare(arm) for arm in get_args(annotation) if arm is not types.NoneType)
    return (_bare(annotation),)


def _arm(arms: tuple[Any, ...], label: str) -> Any:
    """The arm of a union that pydantic labels so: a list or an object by its kind, else the part of the format."""
    kinds = {"tuple[": tuple, "dict[": dict}
    kind = next((kind for start, kind in kinds.items() if label.startswith(start)), None)
    return next((arm for arm in arms if (_is_model(arm) if kind is None else get_origin(arm) is kind)), None)


def _bare(annotation: Any) -> Any:
    """An annotation without what it says of the values."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _lines(spot: _Spot) -> Iterator[str]:
    errors = spot.errors
    if "json_invalid" in errors:
        told = str(errors["json_invalid"]["ctx"]["error"])
        yield f"the document is not JSON: {told.split(' at line ')[0]}."  # a line of no file that the user has
    elif "extra_forbidden" in errors:
        meant = spot.meant()
        hint = f"did you mean '{meant}'?" if meant else f"allowed here: {', '.join(spot.fields())}."
        yield f"{spot.name} is an unknown field; {hint}"
    elif "missing" in errors:
        purpose = spot.fields()[str(spot.path[-1])]
        yield f"{spot.name} is missing: {purpose[0].lower()}{purpose[1:]}"
    elif spot.path[-1] == "[key]":
        container = ".".join(map(printable, spot.path[:-2]))
        yield f"{container} has the name {show(spot.path[-2])}; allowed: {_allowed(spot)}."
    elif "value_error" in errors:
        yield from (f"{spot.name}: {line}." for line in str(errors["value_error"]["ctx"]["error"]).splitlines())
    else:
        found = next(iter(errors.values()))["input"]
        yield f"{spot.name} is {show(found)}; allowed: {_allowed(spot)}."


def _allowed(spot: _Spot) -> str:
    texts = (_ALLOWED.get(kind, error["msg"]).format(**error.get("ctx", {})) for kind, error in spot.errors.items())
    return ", or ".join(texts).replace("'", '"')


def show(value: object) -> str:
    """A value as the document writes it, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 8_000:  # Python writes no more than 4300 digits
        return "a number of thousands of digits"
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def printable(part: object, limit: int = 200) -> str:
    """A name that somebody else chose, cut, and on one line whatever it holds."""
    text = str(part)
    text = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return text if text.isprintable() else json.dumps(text)[1:-1]
