"""Drawings as files, and what matplotlib does for them."""

import re
import sys
from pathlib import Path

import pytest

from orchestra.draw import check, page, plotting, svg, write
from orchestra.errors import ComposeError
from tests.papers import document, pair, plan

PLAN = plan(
    document(kv={"into": ["tetum", "anchor"]}, tetum={"enabled": False, "bridges": {"pairs": [pair(1, 3), pair(0, 3)]}})
)
GATES = dict(zip(PLAN.graph.sites, (0.5, -0.2), strict=False))


def test_the_ending_says_what_is_written(tmp_path: Path) -> None:
    for name, draw in (("a.svg", svg), ("a.html", page)):
        write(PLAN, tmp_path / name, GATES)
        assert (tmp_path / name).read_text(encoding="utf-8") == draw(PLAN, GATES)
    for name, start in (("a.PNG", b"\x89PNG"), ("a.pdf", b"%PDF")):
        write(PLAN, tmp_path / name, GATES)
        assert (tmp_path / name).read_bytes().startswith(start)


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    for ending in ("png", "pdf"):
        first, second = (tmp_path / f"{index}.{ending}" for index in (1, 2))
        write(PLAN, first)
        write(PLAN, second)
        assert first.read_bytes() == second.read_bytes()
        assert b"CreationDate" not in first.read_bytes()


def test_a_picture_shows_each_model_in_its_colour_and_what_is_off_paler(tmp_path: Path) -> None:
    from PIL import Image

    write(PLAN, tmp_path / "a.png", GATES)
    with Image.open(tmp_path / "a.png") as picture:
        colours = picture.convert("RGB").getcolors(1 << 24)
    pixels = {colour: count for count, colour in colours or ()}
    grey, blue, orange = (0x76, 0x83, 0x90), (0x2F, 0x6F, 0xDB), (0xBC, 0x4C, 0x00)
    assert pixels[255, 255, 255] > pixels[blue] > pixels[orange] > 0  # orange are only the arrows of what is off
    assert pixels[grey] > 0


@pytest.mark.parametrize("name", ["a.bmp", "a", "svg"])
def test_an_unknown_ending_is_refused(name: str) -> None:
    with pytest.raises(ComposeError, match=f"^{re.escape(name)}: a picture ends in .svg, .html, .png, .pdf.$"):
        check(Path(name))


@pytest.mark.parametrize("name", ["no/a.svg", "no/a.png"])
def test_a_folder_that_is_not_there_is_named_before_anything_is_drawn(tmp_path: Path, name: str) -> None:
    message = f"{tmp_path / name}: there is no folder {tmp_path / 'no'}."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        check(tmp_path / name)


@pytest.mark.parametrize("name", ["a.svg", "a.png"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ComposeError, match=f"^{re.escape(str(tmp_path / name))}: cannot be written: Is a directory.$"):
        write(PLAN, tmp_path / name)


def test_without_matplotlib_only_texts_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    check(Path("a.svg"))
    check(Path("a.html"))
    message = "a.png: drawing it needs matplotlib: pip install 'orchestra-lm[plot]'."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        check(Path("a.png"))


def test_letters_that_the_font_has_not_are_written_as_escapes() -> None:
    assert plotting.legible("aé→\n中🙂$") == "aé→\\n\\u4e2d\\U0001f642$"


def test_dollars_are_dollars(tmp_path: Path) -> None:
    with plotting.sheet(tmp_path / "a.svg", (2, 1)) as figure:
        figure.text(0.5, 0.5, "$x^{$")
    assert "$x^{$" in (tmp_path / "a.svg").read_text(encoding="utf-8")
