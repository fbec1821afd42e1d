"""What a tokenizer's own description (tokenizer.json) says of how it takes a text apart."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerBase

_BLANKS_GO = ("WhitespaceSplit", "Whitespace", "BertPreTokenizer")
_COMPOSE = {"NFC", "NFD", "NFKC", "NFKD", "Precompiled"}

Part = Mapping[str, Any] | None
"""A normaliser, pre-tokenizer or decoder, as it is described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What decides where a text may be cut.

    Attributes:
        affixes: what marks the inside, the start or the end of a word in the tokens themselves.
        whole_words: whether the tokens of a word may depend on all of it.
        composes: whether the normaliser joins characters, such as a letter and its accent.
        looks_ahead: whether a run of blanks is parted by what comes after it.
        contracts: whether an apostrophe and the letters after it are kept together.
        groups: whether the digits of a number are grouped from its start.
        attaches: whether a single sign is kept together with the letters after it.
        eats_blanks: whether an added token takes the blanks before it.
        drops: whether what has no token is left out without a word.
    """

    affixes: tuple[str, ...]
    whole_words: bool
    composes: bool
    looks_ahead: bool
    contracts: bool
    groups: bool
    attaches: bool
    eats_blanks: bool
    drops: bool


def describe(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The content of a fast tokenizer's tokenizer.json."""
    content: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return content


def decoder(tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    """The parts of its decoder, without a look at the rest of it: a large vocabulary takes a second."""
    part = tokenizer.backend_tokenizer.decoder
    return [] if part is None else flat(json.loads(part.__getstate__()))


def traits(content: Mapping[str, Any]) -> Traits:
    """Read them from the content of a tokenizer.json."""
    model, normalisers = content["model"], flat(content.get("normalizer"))
    affixes = tuple(_affixes(content))
    patterns = "".join(_patterns(content.get("pre_tokenizer")))
    replaces = any("Regex" in part.get("pattern", {}) for part in normalisers)  # runs of blanks, as a rule
    return Traits(
        affixes=affixes,
        whole_words=bool(affixes) or model["type"] in ("WordLevel", "WordPiece"),
        composes=any(part["type"] in _COMPOSE for part in normalisers),
        looks_ahead="(?!" in patterns or "(?=" in patterns or replaces,
        contracts="'" in patterns,
        groups=bool(re.search(r"\{\d", patterns)),
        attaches="]?" in patterns,
        eats_blanks=any(token["lstrip"] for token in content["added_tokens"]),
        drops=model["type"] == "BPE" and not model.get("unk_token"),
    )


def why_unfoldable(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """Every reason why a growing text cannot be tokenized stretch by stretch."""
    if not tokenizer.is_fast:
        yield f"it is a {type(tokenizer).__name__}, which has no fast backend (tokenizer.json)"
        return
    if isinstance(tokenizer.backend_tokenizer.model, BPE):
        if dropout := tokenizer.backend_tokenizer.model.dropout:
            yield f"it tokenizes by chance (dropout {dropout})"
        return
    model = describe(tokenizer)["model"]
    unknown = model.get("unk_id") if model["type"] == "Unigram" else model["vocab"].get(model.get("unk_token"))
    if unknown is None:
        yield f"its {model['type']} has no token for what it does not know"


def opening(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that a tokenizer itself puts in front of any text."""
    encoding = tokenizer.backend_tokenizer.encode("a")
    front = range(encoding.special_tokens_mask.index(0))
    # A call with padding leaves it switched on, and what fills up is no part of a text.
    return tuple(encoding.ids[place] for place in front if encoding.attention_mask[place])


def first_and_inner(content: Mapping[str, Any]) -> tuple[Tokenizer, Tokenizer]:
    """A tokenizer for the first stretch of a text, and one for all others: it puts nothing in front.

    Neither strips the end of a stretch, nor adds special tokens, cuts short or fills up.
    """
    bare = {**content, "truncation": None, "padding": None, "post_processor": None}
    inner = bare | {part: _inner(bare.get(part)) for part in ("normalizer", "pre_tokenizer")}
    first = bare | {"normalizer": _unstripped(bare.get("normalizer"))}
    tokenizer = Tokenizer.from_str(json.dumps(inner))
    return (tokenizer if first == inner else Tokenizer.from_str(json.dumps(first))), tokenizer


def flat(part: Part) -> list[dict[str, Any]]:
    """The parts of a sequence, in order."""
    if part is None:
        return []
    names = ("normalizers", "pretokenizers", "decoders")
    inner = next((part[name] for name in names if name in part), None)
    return [dict(part)] if inner is None else [one for each in inner for one in flat(each)]


def _sequence(parts: list[dict[str, Any]], like: Part) -> dict[str, Any] | None:
    if like is None or like["type"] != "Sequence":
        return parts[0] if parts else None
    name = "normalizers" if "normalizers" in like else "pretokenizers"
    return {"type": "Sequence", name: parts}


def _inner(part: Part) -> dict[str, Any] | None:
    """A normaliser or pre-tokenizer that puts nothing in front, and strips nothing."""
    parts, blanks_went = [], False
    for one in flat(part):
        if one["type"] in ("Prepend", "Strip"):
            continue
        if one["type"] == "Metaspace" and not blanks_went:
            one["prepend_scheme"] = "never"
        if one["type"] == "ByteLevel" and "add_prefix_space" in one:
            one["add_prefix_space"] = False
        blanks_went = blanks_went or one["type"] in _BLANKS_GO
        parts.append(one)
    return _sequence(parts, part)


def _unstripped(part: Part) -> dict[str, Any] | None:
    """A normaliser that leaves the end of a stretch as it is."""
    return _sequence([one | ({"strip_right": False} if one["type"] == "Strip" else {}) for one in flat(part)], part)


def _affixes(content: Mapping[str, Any]) -> Iterator[str]:
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if affix := content["model"].get(name):
            yield affix
    kinds = flat(content.get("pre_tokenizer"))
    if kinds and kinds[0]["type"] in _BLANKS_GO:
        yield from (kind["replacement"] for kind in kinds if kind["type"] == "Metaspace")


def _patterns(part: Part) -> Iterator[str]:
    """The regular expressions of a pre-tokenizer; that of GPT-2 is built in."""
    for one in flat(part):
        if one["type"] == "ByteLevel" and one["use_regex"]:
            yield r"'s|\s+(?!\S)"
        elif one["type"] == "Split":
            yield one["pattern"].get("Regex", "")
