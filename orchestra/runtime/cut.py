"""Where a text that still grows may be cut: the tokens before the cut stay, whatever comes after it.

However a text goes on, its tokenization has a last boundary at or before the end of what is known, and the token that
begins there either does not exist yet or is one that begins with all that remains. So these places are few, and the
vocabulary names them. If a tokenization has a boundary at a place, its tokens before are those of the text up to there.
What the tokenizations up to all these places have in common can therefore be committed, and nothing else can.
"""

import json
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

LIMIT = 64
"""Past so many held characters some are committed anyway."""
KEPT = 16
"""So many of them are kept back then: a token so far from the end seldom changes."""
_BLANKS_GO = ("WhitespaceSplit", "Whitespace", "BertPreTokenizer")
_COMPOSE = {"NFC", "NFD", "NFKC", "NFKD", "Precompiled"}
_JOINING = {*map(chr, range(0x1160, 0x1200)), "\uff9e", "\uff9f"}  # vowels and finals of Hangul, half-width voicing


class Cutter:
    """Cuts the texts of one tokenizer, and tokenizes what is cut off.

    A text is cut into stretches, which are tokenized one by one. What some tokenizers put in front of a text, a blank
    as a rule, the first stretch gets and no other.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        content = json.loads(tokenizer.backend_tokenizer.to_str())
        content |= {"truncation": None, "padding": None, "post_processor": None}
        inner = content | {part: _inner(content.get(part)) for part in ("normalizer", "pre_tokenizer")}
        self._inner = Tokenizer.from_str(json.dumps(inner))
        outer = content | {"normalizer": _unstripped(content.get("normalizer"))}
        self._first = self._inner if outer == inner else Tokenizer.from_str(json.dumps(outer))
        self._affixes = tuple(_affixes(content))
        kinds = {part["type"] for part in _flat(content.get("normalizer"))}
        self._composes = bool(kinds & _COMPOSE)
        patterns = "".join(_patterns(content.get("pre_tokenizer")))
        self._waits_on_blanks = "(?!" in patterns or "(?=" in patterns or bool(kinds & {"Replace"} and _regex(content))
        self._waits_on_apostrophes = "'" in patterns
        self._eats_blanks = any(token["lstrip"] for token in content["added_tokens"])
        model = content["model"]
        self._drops = model["type"] == "BPE" and not model.get("unk_token")
        self._vocabulary = self._inner.get_vocab(with_added_tokens=False)
        self._spread = lru_cache(maxsize=65536)(self._spread_one)
        self._encoded = lru_cache(maxsize=16384)(self._encode)
        added = {"".join(self._spread(sign, False) for sign in token["content"]) for token in content["added_tokens"]}
        self._known = {self._bare(token) for token in self._vocabulary} | added
        self._sorted = sorted(self._known)
        self._longest = max(map(len, self._sorted), default=1)

    def encode(self, text: str, first: bool) -> tuple[int, ...]:
        """The tokens of a stretch.

        Args:
            first: whether the whole text starts with it.
        """
        return self._encoded(text, first)

    def lost(self, text: str) -> str | None:
        """A character that the tokenizer would drop without a word; None where it has tokens for all."""
        return next((sign for sign in text if self._is_lost(sign)), None) if self._drops else None

    def cut(self, held: str, first: bool) -> int:
        """How many characters of what is held may be committed now, whatever comes later."""
        place = self._agreed(held, first) if held else 0
        return place if place or len(held) <= LIMIT else self._anyway(held, first)

    def _agreed(self, held: str, first: bool) -> int:
        spread, starts = self._laid_out(held, first)
        ends = sorted({*self._last_boundaries(spread, starts), *self._unsettled(held), len(held)})
        if self._eats_blanks:
            ends = sorted({*ends, *(len(held[:end].rstrip()) for end in ends)})
        if (low := ends[0]) == 0:
            return 0
        if not self._affixes and not self._spanned(spread, starts, low):
            return low
        others = [self.encode(held[:end], first) for end in ends]
        shared = min(_shared(others[0], other) for other in others)
        for place, count in self._boundaries(held[:low], first, shared):
            if self._restarts(held, place, others[-1][count:]):
                return place
        return 0

    def _anyway(self, held: str, first: bool) -> int:
        most = len(held) - KEPT
        fitting = (place for place, _ in self._boundaries(held, first, len(held)) if place <= most)
        return next(fitting, most)

    def _boundaries(self, text: str, first: bool, most: int) -> Iterator[tuple[int, int]]:
        """Places where the tokens of a text may be parted, the last first, each with the number of tokens before it."""
        encoding = (self._first if first else self._inner).encode(text, add_special_tokens=False)
        ids, offsets = encoding.ids, encoding.offsets
        for count in range(min(most, len(ids)), 0, -1):
            place = offsets[count - 1][1]
            inside = count < len(ids) and offsets[count][0] < place
            if not inside and self.encode(text[:place], first) == tuple(ids[:count]):
                yield place, count

    def _restarts(self, held: str, place: int, following: tuple[int, ...]) -> bool:
        """Whether the text after a place gives the same tokens by itself; where words mark their inside it may not."""
        return not self._affixes or self.encode(held[place:], False) == following

    def _laid_out(self, held: str, first: bool) -> tuple[str, dict[int, int]]:
        """What is held as the model sees it, and for each place where it may be parted the place in the text."""
        starts, parts, length, last = {}, [], 0, len(held) - 1
        begin = 0
        for index in range(len(held)):
            if index < last and self._joins(held[index + 1]):
                continue
            starts[length] = begin
            part = self._spread(held[begin : index + 1], first and begin == 0)
            begin = index + 1
            length += len(part)
            parts.append(part)
        starts[length] = len(held)
        return "".join(parts), starts

    def _last_boundaries(self, spread: str, starts: Mapping[int, int]) -> Iterator[int]:
        """Places where a token may begin that is not complete yet.

        A token of a byte-level tokenizer may begin inside of a character; then the tokens before it are followed back
        to where a character begins.
        """
        end = len(spread)
        todo = [place for place in range(max(0, end - self._longest), end) if self._goes_on(spread[place:])]
        seen = set(todo)
        while todo:
            place = todo.pop()
            if place in starts:
                yield starts[place]
                continue
            before = range(max(0, place - self._longest), place)
            more = {begin for begin in before if spread[begin:place] in self._known} - seen
            todo += more
            seen |= more

    def _unsettled(self, held: str) -> Iterator[int]:
        """Places before what a normaliser or a pattern of the pre-tokenizer may still see otherwise."""
        if self._composes:
            begin = len(held) - 1
            while begin > 0 and self._joins(held[begin]):
                begin -= 1
            yield begin
        if self._waits_on_blanks:
            yield len(held.rstrip())
        if self._waits_on_apostrophes:
            yield from (place for place in range(max(0, len(held) - 2), len(held)) if held[place] in "'’")

    def _goes_on(self, text: str) -> bool:
        """Whether a longer token begins so."""
        place = bisect_right(self._sorted, text)
        return place < len(self._sorted) and self._sorted[place].startswith(text)

    def _spanned(self, spread: str, starts: Mapping[int, int], place: int) -> bool:
        """Whether a token may reach over a place of the text, to a place that is known."""
        middle = next(at for at, begin in starts.items() if begin == place)
        for begin in range(max(0, middle - self._longest + 1), middle):
            at = bisect_left(self._sorted, spread[begin : middle + 1])
            if at < len(self._sorted) and self._sorted[at].startswith(spread[begin : middle + 1]):
                ends = range(middle + 1, min(len(spread), begin + self._longest) + 1)
                if any(spread[begin:end] in self._known for end in ends):
                    return True
        return False

    def _joins(self, sign: str) -> bool:
        """Whether a normaliser may join a character to the one before it."""
        return self._composes and (unicodedata.category(sign)[0] == "M" or sign in _JOINING)

    def _spread_one(self, text: str, first: bool) -> str:
        """Some characters as the model sees them; a blank where the pre-tokenizer takes them away."""
        tokenizer = self._first if first else self._inner
        normal = text if tokenizer.normalizer is None else tokenizer.normalizer.normalize_str(text)
        if not normal or tokenizer.pre_tokenizer is None:
            return normal
        return self._bare("".join(piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))) or " "

    def _bare(self, token: str) -> str:
        for affix in self._affixes:
            token = token.removeprefix(affix).removesuffix(affix)
        return token

    def _encode(self, text: str, first: bool) -> tuple[int, ...]:
        return tuple((self._first if first else self._inner).encode(text, add_special_tokens=False).ids)

    def _is_lost(self, sign: str) -> bool:
        spread = self._spread(sign, False)
        return any(part not in self._vocabulary and not self._in_bytes(part) for part in spread if spread != " ")

    def _in_bytes(self, sign: str) -> bool:
        return all(f"<0x{byte:02X}>" in self._vocabulary for byte in sign.encode())


def why_unfoldable(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """Every reason why a growing text cannot be tokenized stretch by stretch."""
    if not tokenizer.is_fast:
        yield f"it is a {type(tokenizer).__name__}, which has no fast backend (tokenizer.json)"
        return
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if model.get("dropout"):
        yield f"it tokenizes by chance (dropout {model['dropout']})"
    vocabulary = tokenizer.backend_tokenizer.get_vocab()
    unknown = model.get("unk_id") if model["type"] == "Unigram" else vocabulary.get(model.get("unk_token"))
    if unknown is None and model["type"] != "BPE":
        yield f"its {model['type']} has no token for what it does not know"


def opening(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that a tokenizer itself puts in front of any text."""
    encoding = tokenizer.backend_tokenizer.encode("a")
    count = encoding.special_tokens_mask.index(0) if 0 in encoding.special_tokens_mask else 0
    return tuple(encoding.ids[:count])


def _shared(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """How many tokens two lists begin with alike."""
    unlike = (index for index, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1])
    return next(unlike, min(len(left), len(right)))


def _flat(part: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The normalisers, or pre-tokenizers, of a sequence, in order."""
    if part is None:
        return []
    inner = part.get("normalizers") or part.get("pretokenizers") if part["type"] == "Sequence" else None
    return [dict(part)] if inner is None else [one for each in inner for one in _flat(each)]


def _sequence(parts: list[dict[str, Any]], like: Mapping[str, Any] | None) -> dict[str, Any] | None:
    names = {"normalizers": parts, "pretokenizers": parts}
    if like is None or like["type"] != "Sequence":
        return parts[0] if parts else None
    return {"type": "Sequence"} | {name: value for name, value in names.items() if name in like}


def _inner(part: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A normaliser or pre-tokenizer for the inside of a text: it puts nothing in front, and strips nothing."""
    parts, blanks_went = [], False
    for one in _flat(part):
        if one["type"] in ("Prepend", "Strip"):
            continue
        if one["type"] == "Metaspace" and not blanks_went:
            one["prepend_scheme"] = "never"
        if one["type"] == "ByteLevel" and "add_prefix_space" in one:
            one["add_prefix_space"] = False
        blanks_went = blanks_went or one["type"] in _BLANKS_GO
        parts.append(one)
    return _sequence(parts, part)


def _unstripped(part: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A normaliser that leaves the end of a stretch as it is."""
    return _sequence([one | ({"strip_right": False} if one["type"] == "Strip" else {}) for one in _flat(part)], part)


def _affixes(content: Mapping[str, Any]) -> Iterator[str]:
    """What marks the inside, the start or the end of a word in the tokens themselves."""
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if affix := content["model"].get(name):
            yield affix
    kinds = _flat(content.get("pre_tokenizer"))
    if kinds and kinds[0]["type"] in _BLANKS_GO:
        yield from (kind["replacement"] for kind in kinds if kind["type"] == "Metaspace")


def _patterns(part: Mapping[str, Any] | None) -> Iterator[str]:
    """The regular expressions of a pre-tokenizer; that of GPT-2 is built in."""
    for one in _flat(part):
        if one["type"] == "ByteLevel" and one["use_regex"]:
            yield r"'s|\s+(?!\S)"
        elif one["type"] == "Split":
            yield one["pattern"].get("Regex", "")


def _regex(content: Mapping[str, Any]) -> bool:
    """Whether a normaliser replaces what a pattern finds, runs of blanks as a rule."""
    return any("Regex" in part.get("pattern", {}) for part in _flat(content.get("normalizer")))
