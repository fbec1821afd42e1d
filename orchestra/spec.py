"""The JSON document, field for field. No torch, no network, no default that needs a model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from orchestra import problems
from orchestra.errors import SpecError
from orchestra.files import GRAPH_BYTES, read_text, repeated

FORMAT = "orchestra/graph@1"

Layer = Annotated[int, Field(ge=0)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1)]


def _free(name: str) -> str:
    if name in ("anchor", "embedding"):
        raise ValueError("any other; 'anchor' and 'embedding' have a meaning of their own")
    return name


AugmentName = Annotated[Name, AfterValidator(_free)]


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
        clashes = []
        if self.every is not None and self.pairs is not None:
            clashes.append("'every' and 'pairs' exclude each other: give one of them")
        if self.variant == "calm":
            for field in ("gate", "positions"):
                value = getattr(self, field)
                if value not in (None, "none"):
                    clashes.append(f"'{field}' is '{value}', but the variant 'calm' has none: drop it")
        if clashes:
            raise ValueError("\n".join(clashes))
        return self


Feeds = dict[Name, Text | BridgeRecipe]
"""The bridges into each model that an augment feeds."""


class MergeSource(Closed):
    """A model that is a merge of models: a mergekit recipe, and whose tokenizer the result takes."""

    merge: dict[str, Any] = Field(description="A mergekit recipe.")
    tokenizer: Text | None = Field(
        default=None, description="Folder of the tokenizer; default: what the recipe says, else the base model's."
    )
    seed: int = Field(default=0, ge=0, description="Seeds the methods that drop weights at random.")


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
    bridges_revision: Text | Annotated[dict[Name, Text], Field(min_length=1)] | None = Field(
        default=None,
        description="The commit, tag or branch of a bundle on the Hub; or of each that 'into' names, by the same name.",
    )
    enabled: bool = Field(default=True, description="Whether the augment is on when the graph is loaded.")
    template: dict[str, str] | None = Field(
        default=None, description="What the anchor's special tokens become in this augment's text."
    )
    tail: Literal["held", "provisional"] = Field(
        default="held",
        description="What a stream holds back, its unfinished word: 'held', or read ahead as 'provisional' tokens.",
    )
    context: Literal["refresh", "prompt"] = Field(
        default="refresh", description="'refresh': reads every generated token. 'prompt': reads the prompt only."
    )
    into: Annotated[tuple[Name, ...], Field(min_length=1)] | Annotated[Feeds, Field(min_length=1)] = Field(
        default=("anchor",),
        description="Whom this augment feeds: 'anchor', other augments, or both; or the bridges into each, by name.",
    )

    @model_validator(mode="after")
    def _one_place_for_bridges(self) -> Self:
        clashes = []
        if isinstance(self.into, dict) and "bridges" in self.model_fields_set:
            clashes.append("'bridges' and an 'into' that names bridges exclude each other: drop 'bridges'")
        if isinstance(self.bridges_revision, dict):
            named = self.into if isinstance(self.into, dict) else {}
            if strangers := [name for name in self.bridges_revision if name not in named]:
                names = ", ".join(map(repr, strangers))
                clashes.append(f"'bridges_revision' names {names}, for which 'into' names no bridges: drop it there")
        if clashes:
            raise ValueError("\n".join(clashes))
        return self

    def feeds(self) -> dict[str, str | BridgeRecipe]:
        """Whom this augment feeds, and by which bridges."""
        return dict(self.into) if isinstance(self.into, dict) else dict.fromkeys(self.into, self.bridges)

    def field(self, name: str, into: str) -> str:
        """Where the document says what the bridges into a model are."""
        return f"augments.{name}." + (f"into.{into}" if isinstance(self.into, dict) else "bridges")

    def revision_of(self, into: str) -> str | None:
        """At which revision the bundle is that leads into a model."""
        given = self.bridges_revision
        return given.get(into) if isinstance(given, dict) else given

    def revision_field(self, name: str, into: str) -> str:
        """Where the document says so."""
        return f"augments.{name}.bridges_revision" + (f".{into}" if isinstance(self.bridges_revision, dict) else "")


class GraphSpec(Closed):
    """A graph document: one anchor and the augments that are joined to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, title="Orchestra graph")

    schema_: str | None = Field(default=None, alias="$schema", description="For editors; not read.")
    format: Literal["orchestra/graph@1"] = Field(description="The format and its version: 'orchestra/graph@1'.")
    description: str = Field(default="", description="What the graph is for, in a sentence.")
    anchor: AnchorSpec = Field(description="The frozen model that answers.")
    augments: dict[AugmentName, AugmentSpec] = Field(min_length=1, description="The models that it may read, by name.")


def read(path: Path) -> GraphSpec:
    """Read a graph document from a file.

    Raises:
        SpecError: the file is missing, is not JSON, or is not a graph; every problem is listed.
    """
    try:
        return parse(_json(read_text(path, GRAPH_BYTES)))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not UTF-8 text.") from error
    except SpecError as error:
        raise SpecError.listing(f"{path}: {line}" for line in str(error).splitlines()) from error


def parse(document: object) -> GraphSpec:
    """Validate a document that is already in memory.

    Raises:
        SpecError: the document is not a graph; every problem is listed.
    """
    if not isinstance(document, Mapping):
        raise SpecError(f"a graph is a JSON object, not {_kind(document)}.")
    try:
        text = json.dumps(document, allow_nan=False)
        return GraphSpec.model_validate_json(text)
    except RecursionError as error:
        raise SpecError("the document is nested too deeply.") from error
    except ValidationError as error:  # a ValueError, as the next one: it comes first
        raise SpecError.listing(problems.lines(error, GraphSpec)) from error
    except (TypeError, ValueError) as error:
        raise SpecError(f"the document is not JSON: {error}.") from error


def schema() -> dict[str, Any]:
    """The JSON Schema of the document, for editors (`$schema`) and other programs."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **GraphSpec.model_json_schema()}


def schema_text() -> str:
    """The JSON Schema as the text of a file."""
    return json.dumps(schema(), indent=2) + "\n"


def _json(text: str) -> object:
    """Decode a document; a name that stands twice in one object, of which JSON would keep the last, is refused."""
    twice: dict[str, None] = {}

    def object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
        twice.update(dict.fromkeys(repeated([name for name, _ in pairs])))
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=object_of)
    except json.JSONDecodeError as error:
        raise SpecError(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:
        raise SpecError("the document is nested too deeply.") from error
    except ValueError as error:  # of a number with thousands of digits
        raise SpecError(f"is not JSON that can be read: {error}.") from error
    if twice:
        raise SpecError.listing(f"{problems.show(name)} stands twice in one object; keep one." for name in twice)
    return document


def _kind(value: object) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")
