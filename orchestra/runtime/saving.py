"""What a composed model saves: its bridges, a bundle for each augment."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestra.io.bundle import Identity
from orchestra.io.stacks import write_bundle
from orchestra.nn.stack import Stack
from orchestra.plan import Plan
from orchestra.runtime.sides import sides


class Saved:
    """Goes before `PreTrainedModel` among a composed model's parents."""

    plan: Plan
    _identify: Callable[[str], Identity]
    stack: Callable[..., Stack]

    def save_bridges(
        self,
        folder: str | Path,
        *,
        recipe: Mapping[str, Any] | None = None,
        scores: Mapping[str, Any] | None = None,
    ) -> None:
        """Write each augment's stack as a bundle into `folder/<augment>`; an earlier bundle there is replaced.

        The stacks of an augment that feeds several models go into `folder/<augment>/<model>`.

        Args:
            recipe: how the bridges were trained, for the cards.
            scores: what the composition reaches, for the cards.

        Raises:
            BundleError: a weight is NaN or infinite, or a folder there is not a bundle.
        """
        graph = self.plan.graph
        for stack in graph.stacks:
            place = Path(folder) / graph.place_of(stack)
            self.save_stack(stack.augment, place, into=stack.into, recipe=recipe, scores=scores)

    def save_stack(
        self,
        name: str,
        folder: Path,
        *,
        into: str | None = None,
        recipe: Mapping[str, Any] | None = None,
        scores: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the stack of one augment as a bundle; see `save_bridges`, and `stack` for `into`."""
        graph, stack = self.plan.graph, self.stack(name, into)
        feed = next(feed for feed in graph.stacks if self.stack(feed.augment, feed.into) is stack)
        stacks = {feed.name: self.stack(feed.augment, feed.into) for feed in graph.stacks}
        anchor, augment = sides(graph, feed, self._identify, stacks)
        write_bundle(
            folder,
            {key: weight.detach().cpu() for key, weight in stack.state_dict().items()},
            sites=graph.sites_of(feed),
            anchor=anchor,
            augment=augment,
            recipe=recipe,
            scores=scores,
        )

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:
        """Save what is ours to save: the bridges. Anchor and augments stay where they came from."""
        self.save_bridges(save_directory)
