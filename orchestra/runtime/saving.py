"""What a composed model saves: its bridges, a bundle for each augment."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestra.io.bundle import Identity
from orchestra.io.stacks import write_bundle
from orchestra.nn.stack import Stack
from orchestra.plan import Plan
from orchestra.runtime.toggles import Toggles


class Saved:
    """Goes before `PreTrainedModel` among a composed model's parents."""

    plan: Plan
    _identify: Callable[[str], Identity]
    _toggles: Toggles
    stack: Callable[[str], Stack]

    def identity(self, name: str) -> Identity:
        """Who a model is, 'anchor' or an augment: what its bundles remember of it."""
        return self._identify(name)

    def save_bridges(
        self,
        folder: str | Path,
        *,
        recipe: Mapping[str, Any] | None = None,
        scores: Mapping[str, Any] | None = None,
    ) -> None:
        """Write each augment's stack as a bundle into `folder/<augment>`; an earlier bundle there is replaced.

        Args:
            recipe: how the bridges were trained, for the cards.
            scores: what the composition reaches, for the cards.

        Raises:
            BundleError: a weight is NaN or infinite, or a folder there is not a bundle.
        """
        for name in self._toggles.names:
            self.save_stack(name, Path(folder) / name, recipe=recipe, scores=scores)

    def save_stack(
        self,
        name: str,
        folder: Path,
        *,
        recipe: Mapping[str, Any] | None = None,
        scores: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the stack of one augment as a bundle; see `save_bridges`."""
        write_bundle(
            folder,
            {key: weight.detach().cpu() for key, weight in self.stack(name).state_dict().items()},
            sites=tuple(site for site in self.plan.graph.sites if site.augment == name),
            anchor=self._identify("anchor"),
            augment=self._identify(name),
            recipe=recipe,
            scores=scores,
        )

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:
        """Save what is ours to save: the bridges. Anchor and augments stay where they came from."""
        self.save_bridges(save_directory)
