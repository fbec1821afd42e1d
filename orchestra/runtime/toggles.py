"""Switching augments off and on: lasting, and for the length of a block."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from orchestra.errors import ComposeError


class Toggles:
    """Which augments of a composed model are on.

    A block (`ablate`, `only`) restores on leaving what it found on entering, also after an exception.
    """

    def __init__(self, enabled: dict[str, bool]) -> None:
        self._enabled = dict(enabled)

    @property
    def names(self) -> tuple[str, ...]:
        """All augments, sorted."""
        return tuple(sorted(self._enabled))

    @property
    def active(self) -> frozenset[str]:
        """The augments that are on."""
        return frozenset(name for name, on in self._enabled.items() if on)

    def switch(self, names: Iterable[str], *, on: bool) -> None:
        """Switch augments on or off until further notice.

        Raises:
            ComposeError: an augment of that name is not there; nothing is switched.
        """
        self._enabled.update(dict.fromkeys(self._known(names), on))

    @contextmanager
    def without(self, names: Iterable[str]) -> Iterator[None]:
        """Switch augments off inside a block."""
        off = self._known(names)
        found = dict(self._enabled)
        self._enabled.update(dict.fromkeys(off, False))
        try:
            yield
        finally:
            self._enabled.update(found)

    @contextmanager
    def only(self, names: Iterable[str]) -> Iterator[None]:
        """Switch these augments on and all others off inside a block."""
        on = self._known(names)
        found = dict(self._enabled)
        self._enabled.update({name: name in on for name in self._enabled})
        try:
            yield
        finally:
            self._enabled.update(found)

    def known(self, name: str) -> str:
        """The name itself.

        Raises:
            ComposeError: no augment is called so.
        """
        self._known([name])
        return name

    def _known(self, names: Iterable[str]) -> set[str]:
        wanted = set(names)
        unknown = sorted(wanted - set(self._enabled))
        if unknown:
            raise ComposeError(f"no augment is called {unknown[0]!r}; this model has {', '.join(self.names)}.")
        return wanted
