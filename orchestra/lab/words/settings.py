"""Everything that decides what comes out: sizes, lessons' lengths, and how many questions are asked."""

from dataclasses import dataclass, field
from typing import Any

from orchestra.lab.fitting import Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How large the models are and how long they learn.

    Attributes:
        anchor: how the anchor learns; its stories are of one event first, for `easy` of its steps.
        learn, polish: how the augment learns, with longer and with shorter answers (`models.freeze_answers`).
        bridges: how bridges learn; `tune`: how the anchor that is fine-tuned on the same rows does.
        events: how many things may happen in a story.
        spanish: the share of Spanish in what the anchor reads.
        questions: how many are asked per cell.
    """

    width: int = 128
    layers: int = 4
    augment_width: int = 192
    augment_layers: int = 2
    events: int = 2
    easy: float = 0.125
    spanish: float = 0.08
    questions: int = 300
    anchor: Fit = field(
        default_factory=lambda: Fit(steps=1600, batch=128, rate=1e-3, warmup=100, noise=0.15, save_every=100)
    )
    learn: Fit = field(
        default_factory=lambda: Fit(steps=250, batch=64, rate=1e-3, weight_decay=0.02, warmup=50, seed=1)
    )
    polish: Fit = field(
        default_factory=lambda: Fit(steps=150, batch=64, rate=3e-4, weight_decay=0.02, warmup=50, seed=2)
    )
    bridges: Fit = field(
        default_factory=lambda: Fit(steps=400, batch=64, rate=3e-3, muon=0.0, weight_decay=0.01, warmup=50)
    )
    tune: Fit = field(
        default_factory=lambda: Fit(steps=400, batch=64, rate=1e-3, muon=0.0, weight_decay=0.01, warmup=50)
    )

    @property
    def stack(self) -> dict[str, Any]:
        """One bridge, from where the word stands (after the last layer) to where all layers are left to compute."""
        pairs = [{"augment_layer": self.augment_layers - 1, "anchor_layer": "embedding"}]
        return {"gate": "token", "pairs": pairs}


SMALL = Settings()
LARGE = Settings(
    width=384,
    layers=8,
    augment_width=384,
    augment_layers=4,
    events=4,
    questions=2000,
    anchor=Fit(steps=20_000, batch=512, rate=7e-4, warmup=500, noise=0.15, save_every=500),
    learn=Fit(steps=3000, batch=256, rate=7e-4, weight_decay=0.02, warmup=200, seed=1),
    polish=Fit(steps=1500, batch=256, rate=2e-4, weight_decay=0.02, warmup=100, seed=2),
    bridges=Fit(steps=3000, batch=256, rate=2e-3, muon=0.0, weight_decay=0.01, warmup=100),
    tune=Fit(steps=3000, batch=256, rate=3e-4, muon=0.0, weight_decay=0.01, warmup=100),
)
