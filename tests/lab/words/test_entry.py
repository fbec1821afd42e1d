from pathlib import Path

from orchestra.lab.control_entries import ENTRIES
from orchestra.lab.fitting import Fit
from orchestra.lab.words.entry import entry
from orchestra.lab.words.settings import Settings

TINY = Fit(steps=1, batch=2, rate=1e-3, muon=0.0, warmup=1)
SMALL = Settings(
    width=32, layers=2, augment_width=64, augment_layers=1, questions=2,
    anchor=TINY, learn=TINY, polish=TINY, bridges=TINY, tune=TINY,
)  # fmt: skip


def test_controls_ask_what_the_table_asks_and_english_for_what_was_forgotten(tmp_path: Path) -> None:
    made = entry(tmp_path, SMALL)
    assert list(made.known) == ["english"]
    assert "tetum/new" in made.tasks
    assert "english" not in made.tasks
    assert made.bundle is not None
    assert all(folder.is_dir() for folder in (made.anchor, made.augment, made.vanilla, made.bundle))
    assert "words" in ENTRIES
