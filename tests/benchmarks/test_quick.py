import pytest

from benchmarks import quick


def test_a_composition_does_no_more_than_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # caches as they are in use, not with room for everything
    assert quick.exceeding(quick.measured()) == []


def test_what_exceeds_its_ceiling_is_named_with_both_numbers() -> None:
    found = dict.fromkeys(quick.CEILINGS, 0.0)
    assert quick.exceeding(found) == []
    found["operators that only the plain anchor runs"] = 3
    assert quick.exceeding(found) == ["operators that only the plain anchor runs: 3, at most 0"]
