"""A mergekit recipe, field for field, and the models that it names. No torch, no mergekit."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from orchestra import problems
from orchestra.merging.methods import METHODS
from orchestra.spec import Closed, Layer, Text

_DEEPEST = 12  # fields within fields; a recipe has fewer
Dtype = Literal["float32", "bfloat16", "float16", "float64"]
Parameters = dict[str, Any]


def _two(layers: tuple[int, ...]) -> tuple[int, ...]:
    if len(layers) != 2 or layers[0] >= layers[1]:
        raise ValueError("takes two layers, the first and the one after the last")
    return layers


def _unparted(revision: str) -> str:
    if set("+@") & set(revision):
        raise ValueError(f"{revision!r} has a '+' or an '@', at which mergekit would part it; name the commit")
    return revision


Revision = Annotated[Text, AfterValidator(_unparted)]


class Located(Closed):
    """Where a model is, in mergekit's longer form."""

    path: Text = Field(description="A folder, or a Hub id.")
    revision: Revision | None = Field(default=None, description="The commit, tag or branch of a Hub id.")


class Reference(Closed):
    """A model, in mergekit's longer form."""

    model: Text | Located = Field(description="A folder, or a Hub id: `owner/name@revision`.")
    lora: Text | Located | None = Field(default=None, description="An adapter that is added to it, named likewise.")


Model = Text | Reference
LayerRange = Annotated[tuple[Layer, ...], AfterValidator(_two)]


class InputModel(Closed):
    """A model that is merged whole."""

    model: Model = Field(description="A folder, or a Hub id: `owner/name@revision`.")
    parameters: Parameters | None = Field(default=None, description="The method's parameters for this model.")


class InputSlice(Closed):
    """Layers of a model."""

    model: Model = Field(description="A folder, or a Hub id: `owner/name@revision`.")
    layer_range: LayerRange = Field(description="The first layer, and the one after the last.")
    parameters: Parameters | None = Field(default=None, description="The method's parameters for this model.")


class OutputSlice(Closed):
    """Layers of the result, and what they are merged from."""

    sources: tuple[InputSlice, ...] = Field(min_length=1, description="The layers that are merged.")
    base_model: Model | None = Field(default=None, description="The base model of this slice.")
    parameters: Parameters | None = Field(default=None, description="The method's parameters for this slice.")


class Module(Closed):
    """A part of the result; the language models that Orchestra composes have one, 'default'."""

    slices: tuple[OutputSlice, ...] | None = Field(default=None, min_length=1, description="Its layers, in order.")
    models: tuple[InputModel, ...] | None = Field(default=None, min_length=1, description="Models merged whole.")
    parameters: Parameters | None = Field(default=None, description="The method's parameters for this module.")


class TokenSource(Closed):
    """What a token's embedding is made of."""

    kind: Literal["zero", "model_token"] = Field(description="Nothing, or a token of a model.")
    model: Text | None = Field(default=None, description="A folder or a Hub id, named as among the models.")
    token_id: int | None = Field(default=None, ge=0, description="The token, by its id.")
    token: Text | None = Field(default=None, description="The token, by its text.")


class Token(Closed):
    """Where a token's embedding comes from."""

    source: Text | TokenSource | None = Field(default=None, description="A model's folder, or what it is made of.")
    force: bool = Field(default=False, description="Whether every model's own embedding of it is replaced.")


class TokenizerRecipe(Closed):
    """The tokenizer that is built for the result."""

    source: Text = Field(default="union", description="'union', 'base', or a model's folder.")
    tokens: dict[str, Token] | None = Field(default=None, description="Tokens whose embeddings are decided here.")
    pad_to_multiple_of: int | None = Field(default=None, gt=0, description="The vocabulary is padded to such a size.")


class Recipe(Closed):
    """A whole recipe."""

    merge_method: Literal[tuple(METHODS)] = Field(description="One of mergekit's methods.")  # type: ignore[valid-type]
    models: tuple[InputModel, ...] | None = Field(default=None, min_length=1, description="Models merged whole.")
    slices: tuple[OutputSlice, ...] | None = Field(default=None, min_length=1, description="Layers, in order.")
    modules: dict[Literal["default"], Module] | None = Field(default=None, min_length=1, description="Its parts.")
    base_model: Model | None = Field(default=None, description="The model that the others are merged into.")
    parameters: Parameters | None = Field(default=None, description="The method's parameters.")
    dtype: Dtype | None = Field(default=None, description="What the models are merged in.")
    out_dtype: Dtype | None = Field(default=None, description="What the result is saved in.")
    tokenizer_source: Model | None = Field(default=None, description="'union', 'base', or a model's folder.")
    tokenizer: TokenizerRecipe | None = Field(default=None, description="The tokenizer that is built.")
    chat_template: Text | None = Field(default=None, description="'auto', a name of mergekit's, or a template.")


def structure(recipe: Mapping[str, Any]) -> list[str]:
    """What is wrong with a recipe's fields and values, a line each; its methods' parameters are not looked into."""
    try:
        Recipe.model_validate_json(json.dumps(recipe, allow_nan=False))
    except ValidationError as error:  # a ValueError, as the next one: it comes first
        return list(problems.lines(error, Recipe))
    except RecursionError:
        return ["the recipe is nested too deeply."]
    except (TypeError, ValueError) as error:
        return [f"the recipe is not JSON: {error}."]
    return []


def named(reference: object) -> str | None:
    """A model's name as a recipe gives it, in the short form or the long one; None where it is none."""
    if not isinstance(reference, Mapping):
        return _located(reference)
    model, adapter = _located(reference.get("model")), reference.get("lora")
    if model is None or adapter is None:
        return model
    return f"{model}+{added}" if (added := _located(adapter)) else None


def parts(name: str) -> list[tuple[str, str | None]]:
    """A model and the adapters that are added to it, of a name in the short form, each with its revision."""
    found = (part.partition("@") for part in name.split("+"))
    return [(source, revision if at else None) for source, at, revision in found]


def _located(place: object) -> str | None:
    if isinstance(place, Mapping):
        path, revision = place.get("path"), place.get("revision")
        place = path if revision is None or not isinstance(path, str) else f"{path}@{revision}"
    return place if isinstance(place, str) and place else None


def replaced(recipe: Mapping[str, Any], rename: Callable[[str, str], object]) -> dict[str, Any]:
    """A copy of a recipe in which every model is what `rename` makes of its field and its name."""

    def walk(value: Any, path: tuple[str, ...]) -> Any:
        if path[-1:] == ("parameters",) or len(path) > _DEEPEST:
            return value
        if _is_model(path, value):
            name = named(value)
            return value if name is None else rename(".".join(path), name)
        if isinstance(value, Mapping):
            return {str(key): walk(part, (*path, str(key))) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [walk(part, (*path, str(index))) for index, part in enumerate(value)]
        return value

    copy: dict[str, Any] = walk(recipe, ())
    return copy


def references(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every field of a recipe that names a model, with the name."""
    found: list[tuple[str, str]] = []
    replaced(recipe, lambda field, name: found.append((field, name)))
    return found


def builds_tokenizer(recipe: Mapping[str, Any]) -> bool:
    """Whether mergekit builds a tokenizer, and fits every model's embeddings to it."""
    return recipe.get("tokenizer_source") is not None or recipe.get("tokenizer") is not None


def _is_model(path: tuple[str, ...], value: object) -> bool:
    if path in (("tokenizer_source",), ("tokenizer", "source")):
        return value not in ("union", "base")
    if path[:2] == ("tokenizer", "tokens"):
        return path[3:] == ("source", "model") or (path[3:] == ("source",) and isinstance(value, str))
    return path[:1] != ("tokenizer",) and path[-1:] in (("model",), ("base_model",))
