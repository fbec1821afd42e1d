"""What a composed model saves: its bridges, a bundle for each augment."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import CommitInfo

from orchestra.errors import HubError
from orchestra.io.bundle import Identity, keep_words
from orchestra.io.hosting import graph_parcel, restated, unhostable
from orchestra.io.push import push
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
            for node in graph.augments:
                if node.bundle is not None and Path(node.bundle).is_dir() and recipe is None and scores is None:
                    keep_words(Path(folder) / node.name, Path(node.bundle))
            nodes = (replace(node, bundle=str(Path(folder) / node.name), bundle_origin=None) for node in graph.augments)
            saved = replace(graph, augments=tuple(nodes))
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
