"""A bundle is a stack on disk: `bridge_config.json`, `bridge_model.safetensors` and a card. This half has no torch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from orchestra.errors import BundleError, ModelError
from orchestra.files import GRAPH_BYTES, read_text, strict_json
from orchestra.graph import ALIGNMENT_VERSION, ModelFacts, Site
from orchestra.io.safetensors_header import Tensors, read_header
from orchestra.problems import printable
from orchestra.spec import Closed, Layer
from orchestra.wiring import ANCHOR

CONFIG_FILE = "bridge_config.json"
WEIGHTS_FILE = "bridge_model.safetensors"
CARD_FILE = "README.md"
SHAPE = ("model_type", "num_layers", "d_model", "num_heads", "vocab_size")
"""What a bundle remembers of the shape of a model's config."""


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a text without line ends and control characters is needed")
    return text


Word = Annotated[str, Field(max_length=255), AfterValidator(_one_line)]
"""What is shown to people as it is."""


class Identity(Closed):
    """The model that a bundle was trained against: it fits this one and no other.

    Attributes:
        fingerprint: SHA-256 of the weights.
        tokenizer: SHA-256 of what decides the token ids; None when unknown.
        conversion: how a file that is not safetensors became tensors; the fingerprint is the file's.
        template: of an augment, the text that the anchor's special tokens become in its stream.
        tail: of an augment, whether what its stream holds back is read ahead; None where nothing is.
        fed: of an augment that others fed, by whatever path, SHA-256 of the weights of their bundles; None where
            nobody did.
        text: of a fed augment that reads a stream, SHA-256 of the tokenizer whose tokens it is a stream of; None where
            it does not, or where who feeds it reads the same tokens.
    """

    name: Word
    fingerprint: Word
    model_type: Word
    num_layers: int
    d_model: int
    num_heads: int
    vocab_size: int
    tokenizer: Word | None = None
    conversion: Word | None = None
    template: dict[str, str] | None = None
    tail: Literal["provisional"] | None = None
    fed: tuple[Word, ...] | None = None
    text: Word | None = None


class BundleSite(Closed):
    """One bridge of a bundle; widths are those of the two models."""

    augment_layer: Layer
    anchor_layer: Layer | Literal["embedding"]
    num_heads: int = Field(gt=0)
    gate: Literal["none", "scalar", "token"]
    positions: Literal["rotary", "none"]
    variant: Literal["orchestra", "calm"]


class BundleConfig(Closed):
    """The content of `bridge_config.json`."""

    format: Literal["orchestra/bundle@1"] = "orchestra/bundle@1"
    anchor: Identity
    augment: Identity
    sites: tuple[BundleSite, ...] = Field(min_length=1)
    alignment_version: int = ALIGNMENT_VERSION
    weights_sha256: str
    recipe: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, Any] = Field(default_factory=dict)

    def placed(self, augment: str, into: str = ANCHOR) -> tuple[Site, ...]:
        """The sites of the bundle, for an augment of that name and the model that it feeds."""
        return tuple(
            Site(
                augment=augment,
                augment_layer=site.augment_layer,
                anchor_layer=site.anchor_layer,
                d_augment=self.augment.d_model,
                d_anchor=self.anchor.d_model,
                num_heads=site.num_heads,
                gate=site.gate,
                positions=site.positions,
                variant=site.variant,
                into=into,
            )
            for site in self.sites
        )


def identify(
    facts: ModelFacts,
    fingerprint: str,
    *,
    name: str | None = None,
    template: Mapping[str, str] | None = None,
    provisional: bool = False,
) -> Identity:
    """What a bundle remembers of a model: no path, only a name, by default its id on the Hub or its folder's."""
    return Identity(
        name=printable(name or facts.name),
        fingerprint=fingerprint,
        model_type=facts.model_type,
        num_layers=facts.num_layers,
        d_model=facts.d_model,
        num_heads=facts.num_heads,
        vocab_size=facts.vocab_size,
        tokenizer=facts.tokenizer,
        conversion=facts.conversion,
        template=None if template is None else dict(template),
        tail="provisional" if provisional else None,
    )


def bundle_sites(sites: Sequence[Site]) -> tuple[BundleSite, ...]:
    """What a bundle remembers of its sites."""
    return tuple(
        BundleSite(
            augment_layer=site.augment_layer,
            anchor_layer=site.anchor_layer,
            num_heads=site.num_heads,
            gate=site.gate,
            positions=site.positions,
            variant=site.variant,
        )
        for site in sites
    )


def read_config(folder: Path) -> BundleConfig:
    """Read and validate a bundle's config.

    Raises:
        BundleError: it is missing, not JSON, or not a bundle's; every problem is listed.
    """
    path = folder / CONFIG_FILE
    try:
        text = read_text(path, GRAPH_BYTES)
        strict_json(text)
        return BundleConfig.model_validate_json(text)
    except FileNotFoundError as error:
        raise BundleError(f"{folder}: is not a bundle: it holds no {CONFIG_FILE}{_but_pickles(folder)}.") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: is not JSON.") from error
    except ValidationError as error:  # a ValueError, as the next one: it comes first
        raise BundleError.listing(_lines(path, error)) from error
    except ValueError as error:
        raise BundleError(f"{path}: is not JSON that can be read: {error}.") from error


def config_text(config: BundleConfig) -> str:
    """What a bundle's config is written as: what few models have only where there is some."""
    absent: dict[str, set[str]] = {
        side: {field for field in ("template", "tail", "fed", "text") if getattr(getattr(config, side), field) is None}
        for side in ("anchor", "augment")
    }
    content = config.model_dump(exclude=absent)
    return json.dumps(content, indent=2) + "\n"


def keep_words(folder: Path, earlier: Path) -> None:
    """Give a bundle the recipe and the scores of an earlier one, if its weights are the very same."""
    config, before = read_config(folder), read_config(earlier)
    if config.weights_sha256 == before.weights_sha256:
        kept = config.model_copy(update={"recipe": before.recipe, "scores": before.scores})
        (folder / CONFIG_FILE).write_text(config_text(kept), encoding="utf-8")


def read_weights_header(folder: Path) -> Tensors:
    """Read what a bundle's weights say of themselves.

    Raises:
        BundleError: they are missing, pickled or damaged.
    """
    if not (folder / WEIGHTS_FILE).is_file():
        raise BundleError(f"{folder}: holds no {WEIGHTS_FILE}{_but_pickles(folder)}.")
    try:
        return read_header(folder / WEIGHTS_FILE)
    except ModelError as error:
        raise BundleError(str(error)) from error


def _lines(path: Path, error: ValidationError) -> Iterator[str]:
    """One line per field: what is allowed there."""
    allowed: dict[tuple[str, ...], list[str]] = {}
    holders: set[tuple[str, ...]] = set()
    for detail in error.errors(include_url=False):
        parts = (part for part in map(printable, detail["loc"]) if not part.startswith(("constrained-", "literal[")))
        field = tuple(parts)
        if field not in holders:  # else its entries are wrong, and said so
            allowed.setdefault(field, []).append(detail["msg"][0].lower() + detail["msg"][1:])
            holders |= {field[:depth] for depth in range(len(field))}
    for field, messages in allowed.items():
        where = f"{'.'.join(field)}: " if field else ""
        yield f"{path}: {where}{' or '.join(messages)}."


def _but_pickles(folder: Path) -> str:
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"))
    return f", only pickled weights ({pickles[0]}), which are never loaded" if pickles else ""


def misfits(config: BundleConfig, *, anchor: Identity, augment: Identity) -> Iterator[str]:
    """Every way in which a bundle was trained for something else, a line each."""
    return (line for _, line in misfits_by_aspect(config, anchor=anchor, augment=augment))


def misfits_by_aspect(config: BundleConfig, *, anchor: Identity, augment: Identity) -> Iterator[tuple[str, str]]:
    """The misfits of a bundle, each after what it is about: alignment, anchor, augment, tokenizer or template."""
    if config.alignment_version != ALIGNMENT_VERSION:
        version = config.alignment_version
        yield "alignment", f"its alignment version is {version}, and this Orchestra's is {ALIGNMENT_VERSION}"
    # Where a stream leads from one tokenizer to another, one that is not known is another one.
    pairs = [
        (trained.tokenizer, given.tokenizer) for trained, given in ((config.anchor, config.augment), (anchor, augment))
    ]
    stream = any(None not in pair and pair[0] != pair[1] for pair in pairs)
    for role, trained, given in (("anchor", config.anchor, anchor), ("augment", config.augment, augment)):
        for field in SHAPE:
            was, found = getattr(trained, field), getattr(given, field)
            if was != found:
                yield role, f"the {role}'s {field} is {found}, and it was trained with {was}"
        if trained.tokenizer != given.tokenizer and (stream or None not in (trained.tokenizer, given.tokenizer)):
            found, was = ((side.tokenizer or "not known")[:12] for side in (given, trained))
            yield "tokenizer", f"the {role}'s tokenizer is {found}, and it was trained with {was}"
        if trained.template != given.template:
            was, found = (
                json.dumps(side.template) if side.template is not None else "none" for side in (trained, given)
            )
            yield "template", f"the {role}'s template is {found}, and it was trained with {was}"
        if trained.tail != given.tail:
            was, found = (side.tail or "held" for side in (trained, given))
            yield "template", f"the {role}'s tail is {found}, and it was trained with {was}"
        if trained.fed is not None and trained.fed != given.fed:  # else it was trained on what the model is by itself
            was, found = (", ".join(each[:12] for each in side.fed or ()) or "nobody" for side in (trained, given))
            yield "augment", f"the {role} is fed by {found}, and it was trained when it was fed by {was}"
        if trained.text != given.text:
            was, found = (side.text[:12] if side.text else "none" for side in (trained, given))
            yield "tokenizer", f"the tokenizer of the {role}'s text is {found}, and it was trained with {was}"
        if trained.conversion != given.conversion:
            was, found = (side.conversion or "none, but safetensors" for side in (trained, given))
            yield role, f"the {role}'s conversion is {found}, and it was trained with {was}"
        if trained.fingerprint != given.fingerprint:
            yield (
                role,
                f"the {role}'s weights are {given.fingerprint[:12]} ({given.name}), "
                f"and it was trained with {trained.fingerprint[:12]} ({trained.name})",
            )
