"""Where a text that still grows may be cut: the tokens before the cut stay, whatever comes after it.

However a text goes on, its tokenization has a last boundary at or before the end of what is known, and the token that
begins there either does not exist yet or is one that begins with all that remains. So these places are few, and the
vocabulary names them. If a tokenization has a boundary at a place, its tokens before are those of the text up to there.
What the tokenizations up to all these places have in common can therefore be committed, and nothing else can.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from functools import lru_cache

from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from orchestra.runtime.traits import describe, first_and_inner, traits

LIMIT = 64
"""Past so many held characters some are committed anyway."""
KEPT = 16
"""So many of them are kept back then: a token so far from the end seldom changes."""
REMEMBERED = 16384
"""Words come back; so many stretches keep their tokens in memory."""
APOSTROPHES = ("'", "\u2019")
_JOINING = {*map(chr, range(0x1160, 0x1200)), "\uff9e", "\uff9f"}  # vowels and finals of Hangul, half-width voicing


class Cutter:
    """Cuts the texts of one tokenizer, and tokenizes what is cut off.

    A text is cut into stretches, which are tokenized one by one. What some tokenizers put in front of a text, a blank
    as a rule, the first stretch gets and no other.

    Args:
        vocab_size: added tokens with ids from this one on are left out; default: all of them are taken.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocab_size: int | None = None) -> None:
        content = describe(tokenizer)
        if vocab_size is not None:
            content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < vocab_size]
        self._traits = traits(content)
        self._first, self._inner = first_and_inner(content)
        self._vocabulary = self._inner.get_vocab(with_added_tokens=False)
        self._encoded: dict[tuple[str, bool], tuple[int, ...]] = {}
        self._seen: dict[tuple[str, bool], str] = {}
        names = [token["content"] for token in content["added_tokens"]]
        again = (name for name in names if self.encode(f"{name}a", True) != self.encode(f"{name}a", False))
        self._begins_again = tuple(again)
        added = {"".join(self._see(sign, False) for sign in name) for name in names}
        self._known = {self._bare(token) for token in self._vocabulary} | added
        self._sorted = sorted(self._known)
        self._longest = max(map(len, self._sorted), default=1)

    def encode(self, text: str, first: bool) -> tuple[int, ...]:
        """The tokens of a stretch.

        Args:
            first: whether the whole text starts with it.
        """
        ids = self._encoded.get((text, first))
        if ids is None:
            if len(self._encoded) >= REMEMBERED:
                self._encoded.clear()
            ids = self._encoded[text, first] = tuple(self._encoding(text, first).ids)
        return ids

    def begins_again(self, text: str) -> bool:
        """Whether the tokenizer takes what comes after a text for the start of one, as some do after special tokens."""
        return text.endswith(self._begins_again)

    def lost(self, text: str) -> str | None:
        """A character that the tokenizer would drop without a word; None where it has tokens for all."""
        return next((sign for sign in text if self._is_lost(sign)), None) if self._traits.drops else None

    def cut(self, held: str, first: bool) -> int:
        """How many characters of what is held may be committed now, whatever comes later."""
        place = self._agreed(held, first) if held else 0
        return place if place or len(held) <= LIMIT else self._anyway(held, first)

    def tokens(self, held: str, place: int, first: bool) -> tuple[int, ...]:
        """The tokens of what is held up to a cut.

        How a run of blanks is parted may depend on the character after it, so then that is tokenized as well.
        """
        if self._traits.looks_ahead and held[place : place + 1].strip() and held[max(0, place - 2) : place].isspace():
            boundaries = self._boundaries(held, first, exact=False)
            count = next((count for at, count in boundaries if at == place), 0)
            if count:
                return self.encode(held, first)[:count]
        return self.encode(held[:place], first)

    def _agreed(self, held: str, first: bool) -> int:
        spread, starts = self._laid_out(held, first)
        places = {place: at for at, place in starts.items()}
        wanted = {*self._last_boundaries(spread, starts), *self._unsettled(held), len(held)}
        if self._traits.eats_blanks:
            wanted |= {len(held[:end].rstrip()) for end in wanted}
        ends = sorted({next(place for place in range(end, -1, -1) if place in places) for end in wanted})
        if (low := ends[0]) == 0:
            return 0
        if not self._traits.whole_words and self._parts(held, low) and not self._spanned(spread, places[low]):
            return low
        others = [self.encode(held[:end], first) for end in ends]
        shared = min(_shared(others[0], other) for other in others)
        for place, count in self._boundaries(held[:low], first, most=shared):
            if self._parts(held, place) and self._restarts(held, place, others[-1][count:]):
                return place
        return 0

    def _anyway(self, held: str, first: bool) -> int:
        most = len(held) - KEPT
        fitting = (place for place, _ in self._boundaries(held, first) if place <= most)
        return next(fitting, most)

    def _boundaries(
        self, text: str, first: bool, *, most: int | None = None, exact: bool = True
    ) -> Iterator[tuple[int, int]]:
        """Places where the tokens of a text may be parted, the last first, each with the number of tokens before it.

        Args:
            most: only the first so many tokens.
            exact: only where the text before gives the same tokens by itself.
        """
        encoding = self._encoding(text, first)
        ids, offsets = encoding.ids, encoding.offsets
        for count in range(len(ids) if most is None else most, 0, -1):
            place = offsets[count - 1][1]
            inside = count < len(ids) and offsets[count][0] < place
            if not inside and (not exact or self.encode(text[:place], first) == tuple(ids[:count])):
                yield place, count

    def _restarts(self, held: str, place: int, following: tuple[int, ...]) -> bool:
        """Whether the text after a place gives the same tokens by itself; where words mark their inside it may not."""
        if not self._traits.whole_words:
            return True
        return bool(following or held[place:].isspace()) and self.encode(held[place:], False) == following

    def _laid_out(self, held: str, first: bool) -> tuple[str, dict[int, int]]:
        """What is held as the model sees it, and for each place where it may be parted the place in the text."""
        starts, parts, length, last = {}, [], 0, len(held) - 1
        begin = 0
        for index in range(len(held)):
            if index < last and self._joins(held[index + 1]):
                continue
            starts[length] = begin
            part = self._see(held[begin : index + 1], first and begin == 0)
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
        if self._traits.composes:
            begin = len(held) - 1
            while begin > 0 and self._joins(held[begin]):
                begin -= 1
            yield begin
        if self._traits.looks_ahead:
            yield len(held.rstrip())
        if not self._parts(held, len(held)):
            yield next(place for place in range(len(held) - 1, -1, -1) if self._parts(held, place))
        if self._traits.contracts:
            yield from (place for place in range(max(0, len(held) - 2), len(held)) if held[place] in APOSTROPHES)

    def _parts(self, held: str, place: int) -> bool:
        """Whether a pattern of the pre-tokenizer may begin anew at a place.

        Patterns group digits from the first of a number on, attach a sign to the letters after it unless it ends a run
        of signs, and see a contraction in an apostrophe with letters after it unless signs are before it.
        """
        if place == 0:
            return True
        before, after = _class(held[place - 1]), _class(held[place]) if place < len(held) else ""
        if before == "digit":
            return not (self._traits.groups and after in ("digit", ""))
        if before == "letter" or after not in ("sign", ""):
            return True
        return not (self._traits.attaches or (self._traits.contracts and held[place : place + 1] in ("", *APOSTROPHES)))

    def _goes_on(self, text: str) -> bool:
        """Whether a longer token begins so."""
        place = bisect_right(self._sorted, text)
        return place < len(self._sorted) and self._sorted[place].startswith(text)

    def _spanned(self, spread: str, middle: int) -> bool:
        """Whether a token may reach over a place, to one that is known."""
        for begin in range(max(0, middle - self._longest + 1), middle):
            at = bisect_left(self._sorted, spread[begin : middle + 1])
            if at < len(self._sorted) and self._sorted[at].startswith(spread[begin : middle + 1]):
                ends = range(middle + 1, min(len(spread), begin + self._longest) + 1)
                if any(spread[begin:end] in self._known for end in ends):
                    return True
        return False

    def _joins(self, sign: str) -> bool:
        """Whether a normaliser may join a character to the one before it."""
        return self._traits.composes and (unicodedata.category(sign)[0] == "M" or sign in _JOINING)

    def _see(self, text: str, first: bool) -> str:
        """Some characters as the model sees them; a blank where the pre-tokenizer takes them away."""
        seen = self._seen.get((text, first))
        if seen is None:
            tokenizer = self._first if first else self._inner
            seen = text if tokenizer.normalizer is None else tokenizer.normalizer.normalize_str(text)
            if seen and tokenizer.pre_tokenizer is not None:
                seen = "".join(piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(seen))
                seen = self._bare(seen) or " "
            self._seen[text, first] = seen
        return seen

    def _bare(self, token: str) -> str:
        for affix in self._traits.affixes:
            token = token.removeprefix(affix).removesuffix(affix)
        return token

    def _encoding(self, text: str, first: bool) -> Encoding:
        return (self._first if first else self._inner).encode(text, add_special_tokens=False)

    def _is_lost(self, sign: str) -> bool:
        spread = self._see(sign, False)
        return any(part not in self._vocabulary and not self._in_bytes(part) for part in spread if spread != " ")

    def _in_bytes(self, sign: str) -> bool:
        return all(f"<0x{byte:02X}>" in self._vocabulary for byte in sign.encode())


def _shared(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """How many tokens two lists begin with alike."""
    unlike = (index for index, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1])
    return next(unlike, min(len(left), len(right)))


@lru_cache(maxsize=65536)
def _class(sign: str) -> str:
    kind = unicodedata.category(sign)[0]
    return "letter" if kind == "L" else "digit" if kind == "N" else "blank" if sign.isspace() else "sign"
