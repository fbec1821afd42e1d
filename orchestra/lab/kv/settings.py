"""What `orchestra reproduce kv` trains, at each scale."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestra.lab.fitting import Fit
from orchestra.lab.kv.anchor import Size
from orchestra.lab.kv.augment import Stage
from orchestra.lab.kv.keys import UniqueTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that decides what comes out.

    Attributes:
        lessons: the anchor's stretches of training, by name.
        stages: the augment's.
        questions: how many are asked per cell of the results.
    """

    anchor: Size
    lessons: Mapping[str, Fit]
    augment: Size
    stages: tuple[Stage, ...]
    bridges: Fit
    questions: int
    table: UniqueTable


def settings(scale: str) -> Settings:
    """What is trained at a scale: `small` on two cores, `large` on one GPU."""
    return _large() if scale == "large" else _small()


def _small() -> Settings:
    return Settings(
        anchor=Size(width=128, layers=4, inner=3),
        lessons={
            "learn": Fit(steps=4500, batch=16, rate=1e-3, noise=0.2, warmup=100),
            "practise": Fit(steps=3000, batch=16, rate=1e-3, noise=0.2, warmup=50, seed=1),
        },
        augment=Size(width=128, layers=3, inner=4, d_head=16, back=True),
        stages=(
            Stage(name="learn", answers=1.5, alone=0.1, fit=_fit(3000, 160, rate=1e-3)),
            Stage(name="settle", answers=1.0, short=0.15, fit=_fit(800, 128, rate=3e-4, seed=1)),
        ),
        bridges=Fit(steps=1200, batch=64, rate=3e-3, muon=0.0, weight_decay=0.01, warmup=50),
        questions=500,
        table=UniqueTable(),
    )


def _large() -> Settings:
    return Settings(
        anchor=Size(width=256, layers=6, inner=3),
        lessons={
            "learn": Fit(steps=4500, batch=64, rate=1e-3, noise=0.2, warmup=100),
            "practise": Fit(steps=8000, batch=128, rate=8e-4, noise=0.2, warmup=50, seed=1),
        },
        augment=Size(width=256, layers=4, inner=4, d_head=32, back=True),
        stages=(
            Stage(name="learn", answers=1.5, alone=0.1, fit=_fit(6000, 512, rate=1e-3)),
            Stage(name="settle", answers=1.0, short=0.15, fit=_fit(4000, 512, rate=4e-4, seed=1)),
        ),
        bridges=Fit(steps=2000, batch=256, rate=2e-3, muon=0.0, weight_decay=0.01, warmup=50),
        questions=5000,
        table=UniqueTable(),
    )


def _fit(steps: int, batch: int, *, rate: float, seed: int = 0) -> Fit:
    return Fit(steps=steps, batch=batch, rate=rate, weight_decay=0.02, warmup=100, seed=seed)
