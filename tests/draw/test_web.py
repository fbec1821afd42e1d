"""The page: whole, closed to everything else, and safe with any text."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from orchestra.draw import page
from tests.papers import DIGITS, KV, document, pair, plan

PAIRS = {"bridges": {"pairs": [pair(1, "embedding"), pair(0, 3)]}}
EMPTY = {"meta", "rect", "path", "polygon"}


class Reader(HTMLParser):
    """Reads a page, and sees that every element is closed."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(content)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.setdefault(self._open[-1] if self._open else "", []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(augments: dict[str, Any], description: str = "", **models: Any) -> Reader:
    return Reader(page(plan({**document(**augments), "description": description}, **models)))


def test_a_click_on_an_augment_leads_to_its_bridges_and_one_on_the_anchor_to_all() -> None:
    found = read({"kv": PAIRS, "tetum": PAIRS})
    targets = [link["href"] for link in found.all("a")]
    assert targets == ["#all", "#bridges-kv", "#bridges-tetum", "#none", "#none"]
    assert [section["id"] for section in found.all("section")] == ["bridges-kv", "bridges-tetum"]
    assert [main["id"] for main in found.all("main")] == ["all"]


def test_a_table_has_a_row_per_bridge() -> None:
    planned = plan(document(kv={"into": {"anchor": PAIRS["bridges"], "tetum": {"every": 3}}}, tetum={}))
    first = planned.graph.sites[0]
    found = Reader(page(planned, {first: 0.12345}))
    cells = found.texts["td"]
    assert found.texts["th"][:8] == [
        "from layer",
        "into",
        "its layer",
        "gate",
        "mean gate",
        "heads",
        "width",
        "parameters",
    ]
    assert cells[:7] == ["2", "tetum", "6", "scalar", "0.123", "13", "14 → 26"]
    assert cells[8:14] == ["1", "anchor", "embedding", "scalar", "11", "14 → 22"]
    assert found.texts["h2"] == ["kv", "tetum"]
    assert "gpt2, width 14, 3 of 3 layers run, reads the anchor's ids, 7,811 trained parameters" in found.texts["p"]


def test_an_augment_that_is_looked_at_and_what_it_feeds_stay_and_all_else_fades() -> None:
    found = read({"kv": {"into": ["tetum"]}, "tetum": {}})
    (style,) = found.texts["style"]
    chosen = "body:has(#bridges-kv:target)"
    kept = ".model:not(.is-anchor):not(.is-kv):not(.is-tetum)"
    assert f"{chosen} .bridge:not(.from-kv), {chosen} {kept} {{ opacity: 0.12; }}" in style
    classes = {str(group.get("class")) for group in found.all("g")}
    assert classes == {"model is-anchor", "model is-kv", "model is-tetum", "bridge from-kv", "bridge from-tetum"}


def test_nothing_is_fetched_and_nothing_is_run() -> None:
    found = read({"kv": {}}, description="<script>alert(1)</script>")
    assert {name for name, _ in found.elements} <= {
        *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "section", "table", "tr", "th"),
        *("td", "svg", "g", "a", "rect", "text", "path", "polygon"),
    }
    for _, attributes in found.elements:
        assert not {name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset")}
        assert str(attributes.get("href", "#")).startswith("#")
    assert "url(" not in "".join(found.texts["style"])
    assert "@import" not in "".join(found.texts["style"])


def test_the_page_allows_its_own_style_sheet_and_nothing_else() -> None:
    found = read({"kv": {}})
    policies = [meta["content"] for meta in found.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(found.texts["style"][0].encode()).digest()).decode()
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]


def test_any_text_is_escaped() -> None:
    evil = '"><img src=x onerror=alert(1)>\x00</style></title>'
    found = read({"kv": {}}, description=evil, anchor=replace(DIGITS, model_type=evil), kv=replace(KV, model_type=evil))
    assert found.texts["h1"] == [evil.replace("\x00", " ")]
    assert not found.all("img")


def test_the_names_of_augments_need_no_escape_in_css() -> None:
    name = "a-b_9"
    models: dict[str, Any] = {name: KV}
    (style,) = read({name: {}}, **models).texts["style"]
    assert re.search(r"#bridges-a-b_9:target\) \.bridge:not\(\.from-a-b_9\)", style)
