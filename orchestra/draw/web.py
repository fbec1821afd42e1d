"""page(): a plan as an HTML page that needs nothing else. A click on a model shows its bridges, and only these.

There is no script. What is clicked is a link to a place in the page, and the style sheet shows what is the target; the
page allows itself that one style sheet, by its hash, and nothing else.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping

from orchestra.draw.scene import scene
from orchestra.draw.vector import paint, text
from orchestra.draw.words import reading, state
from orchestra.graph import Graph, Site
from orchestra.plan import Plan, num_params
from orchestra.wiring import ANCHOR

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 0.2rem; }
h2 + p { float: right; margin: -1.6rem 0 0; }
svg { max-width: 100%; height: auto; }
svg a { cursor: pointer; }
svg a:hover rect, svg a:focus rect { stroke-width: 2; }
table { border-collapse: collapse; }
th, td { padding: 0.25rem 1.2rem 0.25rem 0; text-align: left; border-bottom: 1px solid #7683904d; }
td { font-variant-numeric: tabular-nums; }
section { display: none; }
section:target { display: block; position: fixed; inset: auto 0 0; max-height: 45vh; overflow: auto; }
section:target { padding: 0 2rem 1rem; background: Canvas; border-top: 1px solid #768390; }
body:has(section:target) { padding-bottom: 50vh; }
#all:target section { display: block; }
.bridge, .model { transition: opacity 0.2s; }
"""
_HEADINGS = ("from layer", "into", "its layer", "gate", "mean gate", "heads", "width", "parameters")


def page(plan: Plan, gates: Mapping[Site, float] | None = None) -> str:
    """Draw a plan, as the text of an HTML page; arguments are as for `svg`."""
    graph, known = plan.graph, gates or {}
    drawn = scene(plan, known)
    style = _STYLE + "".join(_highlight(graph, node.name) for node in graph.augments)
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    title = text(drawn.title)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{title}</title>",
            f"<style>{style}</style>",
            "</head>",
            '<body><main id="all">',
            f"<h1>{title}</h1>",
            paint(drawn, link=_link),
            "<p>A click on an augment shows its bridges; on the anchor, all of them.</p>",
            *(line for node in graph.augments for line in _section(plan, node.name, known)),
            "</main></body>",
            "</html>",
            "",
        ]
    )


def _link(name: str) -> str:
    return "#all" if name == ANCHOR else f"#bridges-{name}"


def _highlight(graph: Graph, name: str) -> str:
    """Rules that let all else fade while an augment is looked at; its name is one that needs no escaping in CSS."""
    kept = {name, ANCHOR, *graph.feeds[name]}
    models = "".join(f":not(.is-{each})" for each in sorted(kept))
    chosen = f"body:has(#bridges-{name}:target)"
    return f"{chosen} .bridge:not(.from-{name}), {chosen} .model{models} {{ opacity: 0.12; }}\n"


def _section(plan: Plan, name: str, gates: Mapping[Site, float]) -> Iterator[str]:
    """An augment and its bridges."""
    node = next(node for node in plan.graph.augments if node.name == name)
    cost = next(cost for cost in plan.costs if cost.augment == name)
    facts = node.facts
    told = [f"{facts.model_type}, width {facts.d_model}, {cost.layers_run} of {facts.num_layers} layers run"]
    told += [f"reads {reading(node)}", f"{cost.bridge_params:,} trained parameters", *filter(None, [state(cost)])]
    yield f'<section id="bridges-{text(name)}">'
    yield f'<h2>{text(name)}</h2><p><a href="#none">close</a></p>'
    yield f"<p>{text(', '.join(told))}</p>"
    yield "<table>"
    yield _row("th", _HEADINGS)
    for site in plan.graph.sites:
        if site.augment == name:
            yield _row("td", _cells(site, gates.get(site)))
    yield "</table>"
    yield "</section>"


def _cells(site: Site, gate: float | None) -> tuple[str, ...]:
    return (
        str(site.augment_layer),
        site.into,
        str(site.anchor_layer),
        site.gate,
        "" if gate is None else f"{gate:.3g}",
        str(site.num_heads),
        f"{site.d_augment} \N{RIGHTWARDS ARROW} {site.d_anchor}",
        f"{num_params(site):,}",
    )


def _row(tag: str, cells: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{tag}>{text(cell)}</{tag}>' for cell in cells)}</tr>"
