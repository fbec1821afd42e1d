"""Tokenizers that are hostile, and caches that were tampered with."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestra.io.checkpoint import cache_folder
from tests import folders
from tests.hostile.cases import Case, Cases, edited, first, loading, model, sparse
from tests.hostile.models import FRESH

CANNOT = ": transformers cannot load its tokenizer: "
SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}


def tokenizer(**parts: Any) -> Callable[[Path], object]:
    """The augment's tokenizer with other parts; those of its model are put among the model's."""

    def build(base: Path) -> None:
        FRESH(base)
        content = json.loads((base / "kv" / "tokenizer.json").read_text())
        inner = {**content["model"], **parts.pop("model", {})}
        folders.edit_json(base / "kv" / "tokenizer.json", **{"model": inner, **parts})

    return build


def precompiled(charsmap: str) -> dict[str, str]:
    return {"type": "Precompiled", "precompiled_charsmap": charsmap}


def said(**fields: Any) -> Callable[[Path], object]:
    """What lies beside the tokenizer, changed; the tokenizer is one of its own."""

    def build(base: Path) -> None:
        tokenizer(model={"unk_token": "w1"})(base)
        (base / "kv" / "foreign.py").write_text(f"open({str(base / 'sprung')!r}, 'w')\n")
        folders.edit_json(base / "kv" / "tokenizer_config.json", **fields)

    return build


def cached(name: str) -> Callable[[Path], object]:
    """A file of Orchestra's own cache that never ends, almost."""

    def build(base: Path) -> None:
        (cache_folder() / name).parent.mkdir(parents=True, exist_ok=True)
        sparse(cache_folder() / name, 10**12)

    return build


DEEP: dict[str, Any] = {"type": "Sequence", "pretokenizers": []}
for _ in range(200):
    DEEP = {"type": "Sequence", "pretokenizers": [DEEP]}
REPLACED = {"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 1_000}

TOKENIZERS: Cases = {
    "a table that takes all memory": model(
        "/tokenizer.json: has a damaged precompiled_charsmap; fetch or save it again.",
        tokenizer(normalizer=precompiled(base64.b64encode(b"\xff\xff\xff\xff").decode())),
    ),
    "a table within a sequence": model(
        "/tokenizer.json: has a damaged precompiled_charsmap; fetch or save it again.",
        tokenizer(normalizer={"type": "Sequence", "normalizers": [precompiled("AAAAAA==")]}),
    ),
    "a table that is none": model(
        "/tokenizer.json: has a damaged precompiled_charsmap; fetch or save it again.",
        tokenizer(normalizer=precompiled("no table")),
    ),
    "a table that points past its end": loading(
        f"{CANNOT}RuntimeError: tokenizers breaks off: ",
        tokenizer(normalizer=precompiled(base64.b64encode(b"\4\0\0\0" + b"\xff" * 4).decode())),
    ),
    "a text that grows a billion times": model(
        "/tokenizer.json: makes a text 1000000000 times as long; 1,000 times are allowed at most.",
        tokenizer(normalizer={"type": "Sequence", "normalizers": [REPLACED] * 3}),
    ),
    "a pattern that is none": loading(
        f"{CANNOT}ValueError: tokenizers says: ", tokenizer(pre_tokenizer={**SPLIT, "pattern": {"Regex": "(((("}})
    ),
    "a token that nobody defines": loading(
        f"{CANNOT}RuntimeError: tokenizers breaks off: ",
        tokenizer(
            post_processor={
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "no such", "type_id": 0}}],
                "pair": [],
                "special_tokens": {},
            }
        ),
    ),
    "an id that is none": loading(
        f"{CANNOT}ValueError: tokenizers says: ", tokenizer(model={"vocab": {"w0": 1 << 40}})
    ),
    "parts nested without end": loading(f"{CANNOT}ValueError: tokenizers says: ", tokenizer(pre_tokenizer=DEEP)),
    "a tokenizer of a terabyte": model(
        "/tokenizer.json: cannot be read: it is 1,000,000,000,000 bytes long, and 100,000,000 are read at most.",
        lambda base: sparse(base / "kv" / "tokenizer.json", 10**12),
    ),
    "a vocabulary of a terabyte beside it": loading(
        "/vocab.txt: cannot be read: it is 1,000,000,000,000 bytes long, and 100,000,000 are read at most.",
        first(tokenizer(model={"unk_token": "w1"}), lambda base: sparse(base / "kv" / "vocab.txt", 10**12)),
    ),
    "a class of transformers that is no tokenizer": loading(CANNOT, said(tokenizer_class="TrainingArguments")),
    "a class that is a number": loading(CANNOT, said(tokenizer_class=3)),
    "an object to be made": loading(CANNOT, said(unk_token={"__type": "Evil", "content": "w0"})),
    "code of its own": loading(
        CANNOT,
        first(
            said(tokenizer_class="Foreign", auto_map={"AutoTokenizer": ["foreign.T", None]}, trust_remote_code=True),
            lambda base: (base / "kv" / "tokenizer.json").rename(base / "kv" / "vocab.json"),
            edited("kv/config.json", model_type="foreign"),
        ),
    ),
    "a cache of digests of a terabyte": Case(build=cached("sha256.json"), kind=None),
    "a cache of digests that is a folder": Case(
        build=lambda base: (cache_folder() / "sha256.json" / "x").mkdir(parents=True), kind=None
    ),
}
