import pytest

from orchestra.lab import progress
from orchestra.lab.progress import Work, track


def test_without_a_terminal_a_line_is_told_now_and_then_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with Work("learning", 3, done=1) as work:
        work.at(2, loss=0.5)
        work.at(3, loss=0.25)
    told = capsys.readouterr()
    assert told.err == "learning 3/3 loss 0.250\n"
    assert told.out == ""


def test_after_a_minute_a_line_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 59.0, 61.0, 100.0, 130.0])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    with Work("learning", 9) as work:
        for step in range(4):
            work.at(step)
    assert capsys.readouterr().err == "learning 1/9\nlearning 3/9\n"


def test_items_come_one_by_one_and_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", "reading")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "reading 3/3\n"


def test_on_a_terminal_there_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Work("learning", 3) as work:
        work.at(3, loss=0.25)
    told = capsys.readouterr()
    assert "━" in told.err
    assert "3/3" in told.err
    assert "loss 0.250" in told.err
    assert told.out == ""
