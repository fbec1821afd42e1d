# ruff: noqa: RUF001
import struct
from pathlib import Path

import pytest

from orchestra.lab.translation.data import Pair, messages, pairs, program, split, suits


def mo(entries: dict[str, str], *, order: str = "<", charset: str = "utf-8") -> bytes:
    """A catalogue as msgfmt writes it."""
    header = f"Content-Type: text/plain; charset={charset}\n"
    keys = [key.encode(charset) for key in ("", *entries)]
    texts = [text.encode(charset) for text in (header, *entries.values())]
    at, tables, content = 28 + 16 * len(keys), b"", b""
    for strings in (keys, texts):
        for string in strings:
            tables += struct.pack(f"{order}2I", len(string), at + len(content))
            content += string + b"\0"
    return struct.pack(f"{order}7I", 0x950412DE, 0, len(keys), 28, 28 + 8 * len(keys), 0, at) + tables + content


def install(folder: Path, catalogue: str, entries: dict[str, str]) -> None:
    place = folder / "share" / "locale" / "xx" / "LC_MESSAGES" / f"{catalogue}.mo"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(mo(entries))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_catalogue_is_read_in_both_byte_orders_and_in_its_own_encoding(order: str) -> None:
    raw = mo({"Open a file": "Ouvrir été"}, order=order, charset="iso-8859-1")
    assert list(messages(raw)) == [("Open a file", "Ouvrir été")]


def test_the_header_and_plural_forms_are_left_out_and_contexts_are_dropped() -> None:
    entries = {"menu\4Open the file": "ouvrir", "one file\0many files": "un\0deux"}
    assert list(messages(mo(entries))) == [("Open the file", "ouvrir")]


@pytest.mark.parametrize("raw", [b"", b"PK\3\4" + bytes(40), mo({"Open": "x"})[:30]])
def test_what_is_no_catalogue_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a \.mo file|a damaged \.mo file"):
        list(messages(raw))


def test_plain_sentences_suit() -> None:
    assert suits("Не можам да го отворам документот", "Unable to open the document")


@pytest.mark.parametrize(
    ("source", "english"),
    [
        ("Отвори датотека", "Open file"),  # too short
        ("Не можам да го отворам %s", "Unable to open the %s"),
        ("Отвори ја _датотеката сега", "Open the _file now please"),
        ("Отвори ја &Датотеката сега", "Open the &File now please"),
        ("Отвори ја <b>датотеката</b> сега", "Open the <b>file</b> now"),
        ("Show the list of files", "Show the list of files"),  # not translated
        ("1 2 3 4 5", "1 2 3 4 5"),
        ("не не не не не не не не не не не не не", "No it is"),  # one is much longer
    ],
)
def test_what_is_no_plain_pair_of_sentences_does_not_suit(source: str, english: str) -> None:
    assert not suits(source, english)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/share/locale/mk/LC_MESSAGES/gettext-tools.mo", "gettext"),
        ("/usr/share/locale/mk/LC_MESSAGES/gtk30-properties.mo", "gtk"),
        ("/usr/share/locale/mk/LC_MESSAGES/libexif-12.mo", "exif"),
        ("/usr/lib/python3/dist-packages/deluge/i18n/mk/LC_MESSAGES/deluge.mo", "deluge"),
    ],
)
def test_the_parts_of_a_program_are_one_program(path: str, name: str) -> None:
    assert program(Path(path)) == name


def test_a_text_is_taken_once_whatever_its_capitals_and_signs(tmp_path: Path) -> None:
    install(tmp_path, "a", {"Open the document": "отвори го документот"})
    install(tmp_path, "b", {"Open the document!": "отвори документ ти", "Close the document": "затвори го документот"})
    install(tmp_path, "c", {"Open this document": "Отвори го документот"})
    (tmp_path / "share/locale/xx/LC_MESSAGES/broken.mo").write_bytes(b"nothing")
    assert [(pair.program, pair.english) for pair in pairs("xx", [tmp_path])] == [
        ("a", "Open the document"),
        ("b", "Close the document"),
    ]


def word(name: str, number: int) -> str:
    return "".join("abcdefghij"[int(digit)] for digit in f"{number}{name.removeprefix('small').replace('large', '99')}")


def found() -> list[Pair]:
    """Forty small programs and a large one, no two texts alike."""
    sizes = {"large": 997} | {f"small{number}": 3 + number % 5 for number in range(41)}
    return [
        Pair(
            program=name,
            source=f"извор {word(name, number)}",
            english=f"{word(name, number)} found {word(name, number)}ly",
        )
        for name, size in sizes.items()
        for number in range(size)
    ]


def test_no_program_is_on_two_sides_and_large_ones_are_learnt() -> None:
    parts = split(found(), train=500, tune=11, test=23)
    sides = [{pair.program for pair in part} for part in (parts.train, parts.tune, parts.test)]
    assert [len(part) for part in (parts.train, parts.tune, parts.test)] == [500, 11, 23]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert "large" in sides[0]


def test_the_split_does_not_depend_on_the_order_of_programs() -> None:
    parts, again = (split(pairs, train=500, tune=11, test=23) for pairs in (found(), found()[::-1]))
    assert {pair.english for pair in parts.test} == {pair.english for pair in again.test}


def test_what_is_nearly_a_learnt_text_is_not_tested() -> None:
    some = found()
    near = [
        Pair(program=pair.program, source=pair.source, english=f"{word('large', 7)} found {word('large', 7)}ly here")
        for pair in some
    ]
    few = [pair if pair.program == "large" else close for pair, close in zip(some, near, strict=True)]
    assert split(few, train=500, tune=11, test=23).test == ()
