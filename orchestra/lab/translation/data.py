"""Sentence pairs from the catalogues of programs' messages (`.mo` files) that are installed, split by program.

Kept are plain sentences: no mark-up, no placeholders, no accelerator keys, no commands; one English text once.
"""

import hashlib
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WORDS = range(3, 17)
_MAGIC = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}
_ODD = re.compile(r"[\n\t\\%{}<>|$@#=~_`^*/\[\]]|&\w|\w&|--|\.\.\.\s*\w|https?:")
_WORD = re.compile(r"[^\W\d_]{2,}")
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A text and its English, and the program that they come from."""

    program: str
    source: str
    english: str


def messages(raw: bytes) -> Iterator[tuple[str, str]]:
    """What a `.mo` file translates: the English and its translation; plural forms and the header are left out.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    order = _MAGIC.get(raw[:4])
    if order is None or len(raw) < 20:
        raise ValueError("not a .mo file")
    try:
        _, count, ids, texts = struct.unpack_from(f"{order}4I", raw, 4)
        entries = [
            tuple(
                raw[at : at + size]
                for size, at in (struct.unpack_from(f"{order}2I", raw, table + 8 * number) for table in (ids, texts))
            )
            for number in range(count)
        ]
    except struct.error as error:
        raise ValueError(f"a damaged .mo file: {error}") from error
    header = next((text for key, text in entries if not key), b"")
    found = re.search(rb"charset=([\w-]+)", header)
    charset = found[1].decode() if found else "utf-8"
    for key, text in entries:
        if key and b"\0" not in key:
            yield key.split(b"\4")[-1].decode(charset), text.decode(charset)


def suits(source: str, english: str) -> bool:
    """Whether a pair is two plain sentences, of a length worth translating, and not one text twice."""
    for text in (source, english):
        words = text.split()
        if len(words) not in WORDS or _ODD.search(text) or not text[0].isalpha():
            return False
        if sum(bool(_WORD.search(word)) for word in words) < 0.7 * len(words):
            return False
    known = {word.lower() for word in _WORD.findall(english)}
    same = sum(word.lower() in known for word in _WORD.findall(source))
    return len(source) < 3 * len(english) < 9 * len(source) and same < 0.5 * len(known)


def program(path: Path) -> str:
    """The program of a catalogue: `gettext-tools` and `gettext-runtime` are one, as is a suite with its own folder."""
    above = path.parents[2]
    if above.name != "locale":
        return above.parent.name
    return re.split(r"[-_.\d]", path.stem.removeprefix("lib"))[0].lower() or path.stem


def pairs(language: str, folders: Iterable[Path]) -> list[Pair]:
    """All pairs of a language, each English text and each source once, in the order of files.

    Args:
        folders: what holds `<language>/LC_MESSAGES/*.mo`, at any depth.
    """
    found: list[Pair] = []
    seen: set[str] = set()
    files = {path for folder in folders for path in folder.rglob(f"{language}/LC_MESSAGES/*.mo")}
    for path in sorted(files, key=lambda path: (path.name, path)):
        try:
            entries = list(messages(path.read_bytes()))
        except (ValueError, LookupError):  # damaged, or in no encoding that is known
            continue
        for key, text in entries:
            english, source = (
                _SPACES.sub(" ", part.strip(" ")) if "\n" not in part.strip() else part for part in (key, text)
            )
            marks = {_plain(english), _plain(source)}
            if english and source and suits(source, english) and not marks & seen:
                seen |= marks
                found.append(Pair(program=program(path), source=source, english=english))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Pairs by what they are for: to learn from, to choose settings by, to report on; no program is in two of them."""

    train: tuple[Pair, ...]
    tune: tuple[Pair, ...]
    test: tuple[Pair, ...]


def split(found: Sequence[Pair], *, train: int, tune: int, test: int, most: float = 0.01) -> Split:
    """Hold whole programs out, in the order of the hashes of their names, until there are pairs enough.

    Of what is held out, pairs are left out whose English is nearly that of a pair to learn from.

    Args:
        most: a program with more than this share of all pairs is not held out.
    """
    sizes = Counter(pair.program for pair in found)
    small = (name for name, size in sizes.items() if size <= most * len(found))
    order = sorted(small, key=lambda name: hashlib.sha256(name.encode()).digest())
    held: dict[str, int] = {}
    counts, wanted = [0, 0], (1.5 * test, 1.5 * tune)  # some will be left out
    for name in order:
        part = 0 if counts[0] < wanted[0] else 1
        if counts[part] < wanted[part]:
            held[name] = part
            counts[part] += sizes[name]
    learnt = [pair for pair in found if pair.program not in held]
    near = _Near(pair.english for pair in learnt)
    parts = [[pair for pair in found if held.get(pair.program) == part and not near(pair.english)] for part in (0, 1)]
    drawn = [_draw(part, size) for part, size in ((learnt, train), (parts[1], tune), (parts[0], test))]
    return Split(train=drawn[0], tune=drawn[1], test=drawn[2])


class _Near:
    """Whether a text has three quarters of its words, or more, in common with one of these."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._sets = [frozenset(_plain(text).split()) for text in texts]
        self._where: dict[str, list[int]] = {}
        for number, words in enumerate(self._sets):
            for word in words:
                self._where.setdefault(word, []).append(number)

    def __call__(self, text: str) -> bool:
        words = frozenset(_plain(text).split())
        shared = Counter(number for word in words for number in self._where.get(word, ()))
        return any(count >= 0.75 * len(words | self._sets[number]) for number, count in shared.items())


def _draw(found: list[Pair], size: int) -> tuple[Pair, ...]:
    """Some of the pairs, the same ones whenever the pairs are the same."""
    return tuple(sorted(found, key=lambda pair: hashlib.sha256(pair.english.encode()).digest())[:size])


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))
