"""mergekit's methods as the experiment asks for them: a setting each, after its paper, and a strength that is tuned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STRENGTHS = (0.1, 0.2, 0.3, 0.6, 1.0)
"""What each specialist's change may be multiplied with; the best on validation questions is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to merge.

    Attributes:
        strength: whether the method weighs the specialists' changes, so that there is something to tune.
        most: how many specialists it takes; None: any number.
        into_base: whether the base is what the specialists are merged into; else the first of them is, or none.
    """

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    strength: bool = False
    most: int | None = None
    into_base: bool = True

    def strengths(self) -> Sequence[float | None]:
        """What there is to tune."""
        return STRENGTHS if self.strength else (None,)

    def recipe(self, base: Path, specialists: Sequence[Path], strength: float | None = None) -> dict[str, Any]:
        """The recipe in mergekit's words."""
        weighted = {} if strength is None else {"weight": strength}
        models = [{"model": str(folder), **({"parameters": weighted} if weighted else {})} for folder in specialists]
        found: dict[str, Any] = {"merge_method": self.method, "models": models, "parameters": dict(self.settings)}
        if self.method == "passthrough":  # a graft: the lower half of one, the upper of the other
            layers = ([0, 2], [2, 4])
            pieces = zip(specialists, layers, strict=True)
            slices = [{"sources": [{"model": str(folder), "layer_range": part}]} for folder, part in pieces]
            return {"merge_method": self.method, "slices": slices}
        if self.method in ("slerp", "nearswap", "arcee_fusion"):
            return {**found, "base_model": str(specialists[0])}
        return {**found, "base_model": str(base)} if self.into_base else found


WAYS = (
    Way(method="linear", settings={"weight": 1.0}, into_base=False),
    Way(method="karcher", into_base=False),
    Way(method="multislerp", settings={"weight": 1.0}),
    Way(method="task_arithmetic", strength=True),
    Way(method="ties", settings={"density": 0.3, "normalize": False}, strength=True),
    Way(method="dare_linear", settings={"density": 0.5}, strength=True),
    Way(method="dare_ties", settings={"density": 0.5}, strength=True),
    Way(method="breadcrumbs", settings={"density": 0.9, "gamma": 0.01}, strength=True),
    Way(method="breadcrumbs_ties", settings={"density": 0.9, "gamma": 0.01}, strength=True),
    Way(method="della", settings={"density": 0.5, "epsilon": 0.15, "normalize": False}, strength=True),
    Way(method="della_linear", settings={"density": 0.5, "epsilon": 0.15}, strength=True),
    Way(method="sce", settings={"select_topk": 0.5}),
    Way(method="ram"),
    Way(method="ramplus_tl"),
    Way(method="model_stock"),
    Way(method="slerp", settings={"t": 0.5}, most=2),
    Way(method="nuslerp", settings={"weight": 1.0}, most=2),
    Way(method="nearswap", settings={"t": 0.002}, most=2),
    Way(method="arcee_fusion", most=2),
    Way(method="passthrough", most=2, into_base=False),
)
"""Every method of mergekit."""

CRUMBS = tuple(
    (Way(method="breadcrumbs", settings={"density": density, "gamma": gamma}), strength)
    for density in (0.7, 0.9)
    for gamma in (0.0, 0.01, 0.05)
    for strength in STRENGTHS
)
"""What breadcrumbs are tuned over."""
