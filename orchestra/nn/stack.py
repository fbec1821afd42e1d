"""All bridges of one augment."""

from collections.abc import Iterable

from torch import nn

from orchestra.graph import Site
from orchestra.nn.bridge import Bridge


class Stack(nn.ModuleDict):
    """The bridges of one augment, by the key of their site; what a bundle holds."""

    def __init__(self, sites: Iterable[Site], *, seed: int | None = 0) -> None:
        """Fresh bridges; with None for a seed, weights that are still to be filled."""
        super().__init__({site.key: Bridge(site, seed=seed) for site in sites})

    def bridge(self, site: Site) -> Bridge:
        """The bridge of one site."""
        bridge = self[site.key]
        assert isinstance(bridge, Bridge)
        return bridge

    def bridges(self) -> list[Bridge]:
        """The bridges in the order of their sites."""
        return [module for module in self.values() if isinstance(module, Bridge)]
