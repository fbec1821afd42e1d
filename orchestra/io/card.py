"""The README.md of a bundle: a model card that says what it joins, how it was trained, and what it scores."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestra.io.bundle import SHAPE, BundleConfig
from orchestra.io.hosted import is_hub_id
from orchestra.spec import FORMAT

_UNKNOWN: Mapping[str, str | None] = {}
_MARKUP = re.compile(r"[\\`*\[\]<>#|~$&]|(?<![^\W_])_|_(?![^\W_])")  # an underscore inside a word is none


def card(config: BundleConfig, num_params: int, *, licences: Mapping[str, str | None] = _UNKNOWN) -> str:
    """The card of a bundle, with the metadata block that the Hub reads.

    Args:
        licences: of the two models, by their ids on the Hub, where they are known.
    """
    anchor, augment = text(config.anchor.name), text(config.augment.name)
    parents = [side.name for side in (config.anchor, config.augment) if is_hub_id(side.name)]
    lines = [
        *metadata(parents),
        f"# {anchor} x {augment}",
        "",
        f"A stack of {len(config.sites)} bridge{'s' if len(config.sites) > 1 else ''} ({num_params:,} parameters) "
        f"that lets the anchor **{anchor}** read the augment **{augment}**. "
        "It holds only the bridges: both models stay as they are, and are needed beside it.",
        "",
        "| augment layer | anchor layer | heads | gate | positions | variant |",
        "|---|---|---|---|---|---|",
        *(
            f"| {site.augment_layer} | {site.anchor_layer} | {site.num_heads} | {site.gate} | {site.positions} "
            f"| {site.variant} |"
            for site in config.sites
        ),
        "",
        "Name this folder in a graph, beside the folders of the two models:",
        "",
        "```json",
        json.dumps(_graph(config), indent=2),
        "```",
        "",
        "## Fits",
        "",
        "| | anchor | augment |",
        "|---|---|---|",
        *(
            f"| {field} | {text(str(getattr(config.anchor, field)))} | {text(str(getattr(config.augment, field)))} |"
            for field in SHAPE
        ),
        f"| weights (SHA-256) | `{config.anchor.fingerprint[:16]}` | `{config.augment.fingerprint[:16]}` |",
        *_tokenizers(config),
        *_fed(config),
        *_conversion(config),
        *_licences(config, licences),
        "",
        "Any other anchor or augment is refused.",
        "",
        *section("Recipe", config.recipe),
        *section("Scores", config.scores),
    ]
    return "\n".join(lines).rstrip() + "\n"


def text(words: str) -> str:
    """Words as Markdown shows them: on one line, with nothing taken for markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(words.split()))


def _conversion(config: BundleConfig) -> list[str]:
    sides = [side.conversion for side in (config.anchor, config.augment)]
    return [f"| conversion | {' | '.join(side or 'none' for side in sides)} |"] if any(sides) else []


def _fed(config: BundleConfig) -> list[str]:
    """The bundles that feed the augment, where some do."""
    fed = config.augment.fed or ()
    return [f"| fed by bundles (SHA-256) | | {', '.join(f'`{each[:16]}`' for each in fed)} |"] if fed else []


def _licences(config: BundleConfig, licences: Mapping[str, str | None]) -> Iterator[str]:
    sides = [licences.get(side.name) for side in (config.anchor, config.augment)]
    if any(sides):
        yield f"| licence | {' | '.join(text(side or 'not stated') for side in sides)} |"


def _tokenizers(config: BundleConfig) -> Iterator[str]:
    """What the augment's stream leads from and to, where it reads one."""
    ours, theirs, template = config.anchor.tokenizer, config.augment.tokenizer, config.augment.template
    if ours and theirs and (ours != theirs or template is not None):
        yield f"| tokenizer (SHA-256) | `{ours[:16]}` | `{theirs[:16]}` |"
    if template is not None:
        yield f"| template | none | {text(json.dumps(template))} |"


def _graph(config: BundleConfig) -> dict[str, Any]:
    """The smallest graph that names the bundle."""
    name = re.sub(r"[^a-z0-9_-]+", "-", config.augment.name.lower()).strip("-_")[:64]
    if not name or not name[0].isalpha() or name in ("anchor", "embedding"):
        name = "augment"
    anchor, model = (
        side.name if is_hub_id(side.name) else f"path/to/{side.name}" for side in (config.anchor, config.augment)
    )
    augment: dict[str, Any] = {"model": model, "bridges": "path/to/this/folder"}
    if config.augment.template is not None:
        augment["template"] = config.augment.template
    if config.augment.tail is not None:
        augment["tail"] = config.augment.tail
    return {
        "format": FORMAT,
        "anchor": {"model": anchor},
        "augments": {name: augment},
    }


def metadata(parents: Iterable[str], *own: str) -> list[str]:
    """The block that the Hub reads.

    Args:
        parents: the ids of the models that are needed; each is named once.
        own: further lines of it.
    """
    base = [f"- {name}" for name in dict.fromkeys(parents)]
    named = ["base_model:", *base] if base else []
    tags = ["tags:", "- orchestra", "- bridges", "- model-composition"]
    return ["---", "library_name: orchestra", *own, *named, *tags, "---", ""]


def section(title: str, content: Mapping[str, Any]) -> list[str]:
    """A heading and a table; nothing where there is nothing to tell."""
    if not content:
        return []
    rows = [f"| {text(name)} | {text(_value(value))} |" for name, value in _flat(content)]
    return [f"## {title}", "", "| | |", "|---|---|", *rows, ""]


def _flat(content: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, object]]:
    """Nested objects as one list of rows: `{"a": {"b": 1}}` gives `a.b`, 1."""
    for name, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{under}{name}.")
        else:
            yield f"{under}{name}", value


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
