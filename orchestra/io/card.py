"""The README.md of a bundle: a model card that says what it joins, how it was trained, and what it scores."""

import json

from orchestra.io.bundle import BundleConfig


def card(config: BundleConfig, num_params: int) -> str:
    """The card of a bundle, with the metadata block that the Hub reads."""
    lines = [
        "---",
        "library_name: orchestra",
        "tags:",
        "- orchestra",
        "- bridges",
        "- model-composition",
        "---",
        "",
        f"# {config.anchor.name} x {config.augment.name}",
        "",
        f"A stack of {len(config.sites)} bridges ({num_params:,} parameters) that lets the anchor "
        f"`{config.anchor.name}` read the augment `{config.augment.name}`. "
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
        "Name it in a graph:",
        "",
        "```json",
        json.dumps({"model": f"<folder of {config.augment.name}>", "bridges": "<this folder>"}),
        "```",
        "",
        "## Fits",
        "",
        "| | anchor | augment |",
        "|---|---|---|",
        *(
            f"| {field} | {getattr(config.anchor, field)} | {getattr(config.augment, field)} |"
            for field in ("model_type", "num_layers", "d_model", "vocab_size")
        ),
        f"| weights (SHA-256) | `{config.anchor.fingerprint[:16]}` | `{config.augment.fingerprint[:16]}` |",
        "",
        "Any other anchor or augment is refused.",
        "",
        *_section("Recipe", config.recipe),
        *_section("Scores", config.scores),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, content: dict[str, object]) -> list[str]:
    if not content:
        return []
    rows = [f"| {name} | {value} |" for name, value in content.items()]
    return [f"## {title}", "", "| | |", "|---|---|", *rows, ""]
