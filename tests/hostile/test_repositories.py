"""Hostile repositories on the Hub: each is refused in one clear error, and leaves nothing outside the cache."""

import re
import sys
from pathlib import Path

import pytest

import orchestra
from orchestra import OrchestraError
from tests import folders
from tests.hostile.merges import MERGES
from tests.hostile.repositories import REPOSITORIES, document
from tests.hubserver import Hub

CASES = {**REPOSITORIES, **MERGES}


@pytest.fixture
def duo(hosted: Hub) -> Hub:
    """A graph of hosted repositories, whole as yet."""
    hosted.add("acme/duo", {"graph.json": document()})
    return hosted


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_repository_is_refused_and_leaves_nothing_outside_the_cache(
    duo: Hub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    build, kind, told = CASES[name]
    build(duo)
    monkeypatch.chdir(tmp_path)
    before, modules = folders.snapshot(own_cache.parent).keys(), set(sys.modules)
    with pytest.raises(OrchestraError) as caught:
        orchestra.load("acme/duo")
    assert type(caught.value) is kind, caught.value
    assert re.match(told, str(caught.value)), caught.value
    assert all(line.isprintable() for line in str(caught.value).split("\n"))
    assert len(str(caught.value)) < 20_000
    assert folders.snapshot(tmp_path) == {}
    assert not [*own_cache.parent.rglob("sprung*"), *Path("/tmp").glob("sprung*")]
    left = folders.snapshot(own_cache.parent).keys() - before
    assert all(path.startswith(own_cache.name) for path in left)
    assert not [found for found in sys.modules.keys() - modules if "foreign" in found]
    assert not {"foreign.py", "pytorch_model.bin"} & {*duo.downloads()}
