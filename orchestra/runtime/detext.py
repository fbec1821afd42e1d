"""Tokens to text, one after the other, and never a character taken back.

A tokenizer's own `decode` may clean up spaces, and turns half of a character into a replacement sign that the other
half takes back. Here each token is a piece, bytes of UTF-8; bytes that do not make a whole character yet wait for the
next token. The pieces, joined, are what `decode` gives without any cleaning up.
"""

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from orchestra.errors import ComposeError
from orchestra.runtime.traits import decoder

_BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")


@dataclass(frozen=True, slots=True)
class Tail:
    """What the tokens so far leave for the next one.

    Attributes:
        waiting: bytes that do not make a whole character yet.
        begun: whether a token with text was read; many decoders drop the blank in front of the first one.
    """

    waiting: bytes = b""
    begun: bool = False


class Detext:
    """Reads the text of tokens, one after the other.

    Args:
        template: the text that a special token stands for; special tokens that it does not name stand for nothing.
        field: what the template is called, for errors.

    Raises:
        ComposeError: the template names a token that is not special.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: Mapping[str, str] | None = None,
        *,
        field: str = "template",
    ) -> None:
        self._backend = tokenizer.backend_tokenizer
        added = tokenizer.added_tokens_decoder
        special = {index for index, token in added.items() if token.special} | set(tokenizer.all_special_ids)
        names = {index: str(self._backend.id_to_token(index)) for index in special}
        template = dict(template or {})
        if unknown := sorted(template.keys() - set(names.values())):
            known = sorted(names.values(), key=lambda name: (name not in tokenizer.all_special_tokens, name))
            more = f" (and {len(known) - 7} more)" if len(known) > 7 else ""
            raise ComposeError(
                f"{field} maps {', '.join(unknown)}, which the anchor's tokenizer does not have as a special token; "
                f"it has {', '.join(known[:7]) or 'none'}{more}."
            )
        self._special = {index: template.get(name, "").encode() for index, name in names.items()}
        self._added = {index: token.content.encode() for index, token in added.items()}
        self._rules = decoder(tokenizer)
        self._dropped = sum(_leading(rule) for rule in self._rules)
        self._bytes = {piece: byte for byte, piece in _alphabet().items()}
        self._pieces: dict[int, bytes] = {}

    def step(self, tail: Tail, token: int) -> tuple[Tail, str]:
        """The text that one more token completes."""
        piece = self._special.get(token)
        begun = tail.begun
        if piece is None:
            piece = self._pieces.get(token)
            if piece is None:
                piece = self._pieces.setdefault(token, self._piece(token))
            if piece and not begun:
                blanks = len(piece) - len(piece.lstrip(b" "))
                piece, begun = piece[min(blanks, self._dropped) :], True
        text, used = codecs.utf_8_decode(tail.waiting + piece, "replace", False)
        return Tail((tail.waiting + piece)[used:], begun), text

    def _piece(self, token: int) -> bytes:
        if token in self._added:
            return self._added[token]
        text: str | None = self._backend.id_to_token(token)
        if text is None:  # an embedding without a token: models are often padded to a round number of them
            return b""
        for rule in self._rules:
            kind = rule["type"]
            if kind == "ByteLevel" and all(sign in self._bytes for sign in text):
                return bytes(self._bytes[sign] for sign in text)
            if kind == "ByteFallback" and _BYTE.fullmatch(text):
                return bytes([int(text[3:5], 16)])
            if kind == "Replace":
                text = text.replace(rule["pattern"]["String"], rule["content"])
            elif kind == "Metaspace":
                text = text.replace(rule["replacement"], " ")
            elif kind == "WordPiece":
                text = text.removeprefix(rule["prefix"]) if text.startswith(rule["prefix"]) else f" {text}"
        return text.encode()


def why_unreadable(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """Every reason why a tokenizer's tokens cannot be read as text one after the other."""
    if not tokenizer.is_fast:
        yield f"it is a {type(tokenizer).__name__}, which has no fast backend (tokenizer.json)"
        return
    rules = decoder(tokenizer)
    if not rules:
        yield "it has no decoder, so that its tokens would be joined by blanks that are not in the text"
    fused = False
    for rule in rules:
        kind = rule["type"]
        fused = fused or kind == "Fuse"
        known = kind in ("ByteLevel", "ByteFallback", "Fuse", "Metaspace", "WordPiece")
        known = known or (kind == "Replace" and "String" in rule["pattern"])
        known = known or (kind == "Strip" and fused and rule["content"] == " " and rule["stop"] == 0)
        if not known:
            yield f"its decoder {kind} does not work token by token"


def _leading(rule: Mapping[str, Any]) -> int:
    """How many blanks a rule drops at the start of the whole text."""
    if rule["type"] == "Strip":
        return int(rule["start"])
    return int(rule["type"] == "WordPiece" or (rule["type"] == "Metaspace" and rule["prepend_scheme"] != "never"))


def _alphabet() -> dict[int, str]:
    """The sign by which byte-level tokenizers write each byte: its own where it is printable, else one past 255."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in printable)
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
