"""What a composed model saves: its bridges, a bundle for each augment."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import CommitInfo

from orchestra.errors import HubError
from orchestra.graph import Feed, stack_name
from orchestra.io.bundle import CONFIG_FILE, Identity, keep_words, read_config
from orchestra.io.hosting import graph_parcel, restated, unhostable
from orchestra.io.push import push
from orchestra.io.sides import fed, sides
from orchestra.io.stacks import write_bundle
from orchestra.nn.stack import Stack
from orchestra.plan import Plan
from orchestra.runtime.sides import digests
from orchestra.wiring import behind


class Saved:
    """Goes before `PreTrainedModel` among a composed model's parents."""

    plan: Plan
    _identify: Callable[[str], Identity]
    stack: Callable[..., Stack]

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
        on: Collection[str] | None = None,
    ) -> None:
        """Write the stack of one augment as a bundle; see `save_bridges`, and `stack` for `into`.

        Args:
            on: the augments that were on while it was trained; default: all. A stack that is as its bundle was needs
                nobody to feed its augment if that did not.
        """
        graph, stack = self.plan.graph, self.stack(name, into)
        feed = next(feed for feed in graph.stacks if self.stack(feed.augment, feed.into) is stack)
        anchor, augment = sides(graph, feed, self._identify, self._fed(feed, on))
        write_bundle(
            folder,
            {key: weight.detach().cpu() for key, weight in stack.state_dict().items()},
            sites=graph.sites_of(feed),
            anchor=anchor,
            augment=augment,
            recipe=recipe,
            scores=scores,
        )

    def _fed(self, feed: Feed, on: Collection[str] | None) -> tuple[str, ...] | None:
        """What fed the augment of a stack while it was trained."""
        feeds, pairs = self.plan.graph.feeds, behind(self.plan.graph.feeds, feed.augment)
        found = digests({stack_name(*pair): self.stack(*pair) for pair in (*pairs, (feed.augment, feed.into))})
        own, folder = found[feed.name], Path(feed.bundle or "")
        if own is None:
            return None  # it was not trained
        if feed.bundle is not None and (folder / CONFIG_FILE).is_file():
            before = read_config(folder)
            if before.augment.fed is None and before.weights_sha256 == own:
                return None
        return fed(feeds, feed.augment, found, on)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        private: bool | None = None,
        token: bool | str | None = None,
        revision: str | None = None,
        recipe: Mapping[str, Any] | None = None,
        scores: Mapping[str, Any] | None = None,
    ) -> CommitInfo:
        """Upload the graph, its bridges and a card in one commit; `orchestra.load(repo_id)` composes it again.

        Models are not uploaded: the graph names their repositories, at the commits that are loaded. A stack that is as
        its bundle was keeps that bundle's recipe and scores, unless others are given.

        Args:
            repo_id: `owner/name`; it is created where there is none.
            private: of a repository that is created; None is the owner's default.
            token: None is the one of the login.
            revision: the branch, which is created where there is none; None is `main`.
            recipe: how the bridges were trained, for the cards.
            scores: what the composition reaches, for the cards.

        Raises:
            HubError: a model is not on the Hub, or the Hub refuses or cannot be reached.
            BundleError: a weight is NaN or infinite.
        """
        graph = self.plan.graph
        if problems := list(unhostable(graph)):
            raise HubError.listing(problems)
        with TemporaryDirectory() as folder:
            self.save_bridges(folder, recipe=recipe, scores=scores)
            places = {stack: Path(folder) / graph.place_of(stack) for stack in graph.stacks}
            for stack, place in places.items():
                if stack.bundle is not None and Path(stack.bundle).is_dir() and recipe is None and scores is None:
                    keep_words(place, Path(stack.bundle))
            stacks = (replace(stack, bundle=str(place), origin=None) for stack, place in places.items())
            saved = replace(graph, stacks=tuple(stacks))
            return push(
                graph_parcel(restated(graph), saved),
                repo_id,
                commit_message=commit_message,
                private=private,
                token=token,
                revision=revision,
            )

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:
        """Save what is ours to save: the bridges. Anchor and augments stay where they came from."""
        self.save_bridges(save_directory)
