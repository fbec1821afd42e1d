import pytest

from benchmarks import quick


def test_a_composition_does_no_more_than_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # caches as they are in use, not with room for everything
    assert quick.exceeding(quick.measured()) == []
