"""The JSON document, field for field. No torch, no network, no default that needs a model."""

import difflib
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails

from orchestra.errors import SpecError

FORMAT = "orchestra/graph@1"

Layer = Annotated[int, Field(ge=0)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1)]


class Closed(BaseModel):
    """What every part of the document is: frozen, strict, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Pair(Closed):
    """One bridge: read the augment after one layer, write the anchor after another. Layers count from 0."""

    augment_layer: Layer = Field(description="The augment's layer whose output is read.")
    anchor_layer: Layer | Literal["embedding"] = Field(
        description="The anchor's layer after which the residual is added; 'embedding' is the input of layer 0."
    )


class BridgeRecipe(Closed):
    """How to make a fresh stack of bridges for one augment."""

    every: int | None = Field(default=None, gt=0, description="Tap every n-th augment layer (default 4, as the paper).")
    pairs: tuple[Pair, ...] | None = Field(
        default=None, min_length=1, description="The sites by name, instead of 'every'."
    )
    heads: int | None = Field(default=None, gt=0, description="Attention heads; default: as many as the anchor.")
    gate: Literal["none", "scalar", "token"] | None = Field(
        default=None, description="Default 'scalar'; the variant 'calm' has none."
    )
    positions: Literal["rotary", "none"] | None = Field(
        default=None, description="Default 'rotary'; the variant 'calm' has none."
    )
    variant: Literal["orchestra", "calm"] = Field(
        default="orchestra", description="'calm' is the paper's exact form: no norm, no gate, no positions."
    )
    seed: int = Field(default=0, ge=0, description="Seeds the fresh weights, together with the name of each site.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = []
        if self.every is not None and self.pairs is not None:
            problems.append("'every' and 'pairs' exclude each other: give one of them")
        if self.variant == "calm":
            for field in ("gate", "positions"):
                value = getattr(self, field)
                if value not in (None, "none"):
                    problems.append(f"'{field}' is '{value}', but the variant 'calm' has none: drop it")
        if problems:
            raise ValueError("; ".join(problems))
        return self


class MergeSource(Closed):
    """A model that is a merge of models: a mergekit recipe, and whose tokenizer the result takes."""

    merge: dict[str, Any] = Field(description="A mergekit recipe.")
    tokenizer: Text | None = Field(default=None, description="Folder or Hub id of the tokenizer.")


class ModelSpec(Closed):
    """What the anchor and the augments have in common: where the weights are, and how they are held."""

    model: Text | MergeSource = Field(description="A folder, relative to the graph; a Hub id; a GGUF file; a merge.")
    revision: Text | None = Field(default=None, description="The commit, tag or branch of a Hub id.")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = Field(
        default="auto", description="'auto' keeps what the checkpoint says."
    )
    device: Text = Field(default="auto", description="'auto', 'cpu', 'cuda', 'cuda:1', ...")
    tokenizer: Text | None = Field(default=None, description="Folder of the tokenizer; default: the model's own.")


class AnchorSpec(ModelSpec):
    """The frozen model that answers."""


class AugmentSpec(ModelSpec):
    """A frozen model that the anchor may read, and the stack of bridges between them."""

    bridges: Text | BridgeRecipe = Field(
        default_factory=BridgeRecipe, description="A bundle (folder or Hub id), or the recipe of a fresh stack."
    )
    bridges_revision: Text | None = Field(default=None, description="The commit, tag or branch of a bundle on the Hub.")
    enabled: bool = Field(default=True, description="Whether the augment is on when the graph is loaded.")
    template: dict[str, str] | None = Field(
        default=None, description="What the anchor's special tokens become in this augment's text."
    )
    context: Literal["refresh", "prompt"] = Field(
        default="refresh", description="'refresh': reads every generated token. 'prompt': reads the prompt only."
    )
    into: tuple[Name, ...] = Field(
        default=("anchor",), min_length=1, description="Whom this augment feeds: 'anchor', or other augments."
    )


class GraphSpec(Closed):
    """A graph document: one anchor and the augments that are joined to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, title="Orchestra graph")

    schema_: str | None = Field(default=None, alias="$schema", description="For editors; not read.")
    format: Literal["orchestra/graph@1"]
    description: str = ""
    anchor: AnchorSpec
    augments: dict[Name, AugmentSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> Self:
        taken = {"anchor", "embedding"} & set(self.augments)
        if taken:
            raise ValueError(f"an augment may not be called '{min(taken)}': the word is taken")
        return self


def read(path: Path) -> GraphSpec:
    """Read a graph document from a file.

    Raises:
        SpecError: the file is missing, is not JSON, or is not a graph; every problem is listed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not UTF-8 text.") from error
    try:
        return parse(json.loads(text, object_pairs_hook=_no_duplicates))
    except json.JSONDecodeError as error:
        raise SpecError(f"{path}: is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:
        raise SpecError(f"{path}: is not a graph: it is nested too deeply.") from error
    except SpecError as error:
        raise SpecError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error


def parse(document: object) -> GraphSpec:
    """Validate a document that is already in memory.

    Raises:
        SpecError: the document is not a graph; every problem is listed.
    """
    if not isinstance(document, Mapping):
        raise SpecError(f"a graph is a JSON object, not {_kind(document)}.")
    try:
        text = json.dumps(document)
    except (TypeError, ValueError) as error:
        raise SpecError(f"the document is not JSON: {error}.") from error
    try:
        return GraphSpec.model_validate_json(text)
    except ValidationError as error:
        raise SpecError.listing(_problems(error, document)) from error


def schema() -> dict[str, Any]:
    """The JSON Schema of the document, for editors (`$schema`) and other programs."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **GraphSpec.model_json_schema()}


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise SpecError(f"'{name}' stands twice in one object; keep one of them.")
        seen[name] = value
    return seen


def _problems(error: ValidationError, document: Mapping[str, Any]) -> Iterator[str]:
    """One line per problem: the field, what was found, what is allowed."""
    seen = set()
    for detail in error.errors(include_url=False):
        field = _field(detail["loc"])
        line = _line(field, detail, document)
        if line not in seen:
            seen.add(line)
            yield line


# pydantic names the branch of a union in the location; the document has no such level.
_BRANCHES = {"str", "constrained-str", "BridgeRecipe", "MergeSource", "int", "constrained-int", "[key]"}


def _path(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return tuple(part for part in loc if part not in _BRANCHES and not str(part).startswith("literal["))


def _field(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in _path(loc)) or "the graph"


def _line(field: str, detail: ErrorDetails, document: Mapping[str, Any]) -> str:
    kind, found = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return f"{field}: unknown field{_did_you_mean(_path(detail['loc']), document)}"
    if kind == "missing":
        return f"{field}: is missing."
    if kind == "value_error":
        return f"{field}: {detail['ctx']['error']}."
    if "[key]" in detail["loc"]:
        return f"{field}: is not a name: use a-z, 0-9, '_' and '-', starting with a letter, at most 64 characters."
    if kind == "too_short":
        return f"{field}: is empty; at least one entry is needed."
    return f"{field}: is {_show(found)}; {_sentence(detail['msg'])}"


def _sentence(message: str) -> str:
    return message[0].lower() + message[1:].rstrip(".") + "."


def _show(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")


def _did_you_mean(path: tuple[int | str, ...], document: Mapping[str, Any]) -> str:
    """' - did you mean 'gate'? ...' from the fields that the enclosing object may have."""
    allowed = _allowed(GraphSpec, path[:-1])
    close = difflib.get_close_matches(str(path[-1]), allowed, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"{hint} Allowed here: {', '.join(allowed)}."


def _allowed(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for index, part in enumerate(path):
        for name, info in model.model_fields.items():
            if part == (info.alias or name):
                inner = _inner(info.annotation)
                skip = 1 if get_origin(_strip(info.annotation)) is dict or _is_list(info.annotation) else 0
                return _allowed(inner, path[index + 1 + skip :]) if inner else []
    return [info.alias or name for name, info in model.model_fields.items()]


def _strip(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_list(annotation: Any) -> bool:
    return any(get_origin(arm) is tuple for arm in (annotation, *get_args(annotation)))


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The part of the document that a field holds, if it holds one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (dict, tuple, Union, types.UnionType, Annotated):
        parts = [part for part in map(_inner, get_args(annotation)) if part]
        return parts[0] if parts else None
    return None
