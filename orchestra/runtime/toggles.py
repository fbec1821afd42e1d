"""Switching augments off and on: lasting, and for the length of a block."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from orchestra.errors import ComposeError
from orchestra.wiring import Feeds, reaching

Block = tuple["Toggles", Mapping[str, bool]]
"""What one block switches, of which model."""


class Toggles:
    """Which augments of a composed model are on.

    Lasting switches are the model's own. A block (`ablate`, `only`) belongs to the context that entered it, as a thread
    or a task of asyncio: it outweighs lasting switches there, and changes nothing elsewhere.
    """

    def __init__(self, enabled: Mapping[str, bool], feeds: Feeds | None = None) -> None:
        """Take who is on; whom each feeds, unless all feed the anchor."""
        self._enabled = dict(enabled)
        self._feeds = feeds

    @property
    def names(self) -> tuple[str, ...]:
        """All augments, sorted."""
        return tuple(sorted(self._enabled))

    @property
    def active(self) -> frozenset[str]:
        """The augments that are on, but for those that feed only others that are off."""
        enabled = self._enabled.copy()  # at once: another thread may be switching
        for toggles, switched in _blocks.get():
            if toggles is self:
                enabled.update(switched)
        on = frozenset(name for name, on in enabled.items() if on)
        return on if self._feeds is None else reaching(self._feeds, on)

    def switch(self, names: Iterable[str], *, on: bool) -> None:
        """Switch augments on or off until further notice.

        Raises:
            ComposeError: an augment of that name is not there; nothing is switched.
        """
        self._enabled.update(dict.fromkeys(self._known(names), on))

    @contextmanager
    def without(self, names: Iterable[str]) -> Iterator[None]:
        """Switch augments off inside a block."""
        with _inside((self, dict.fromkeys(self._known(names), False))):
            yield

    @contextmanager
    def only(self, names: Iterable[str]) -> Iterator[None]:
        """Switch these augments on and all others off inside a block."""
        on = self._known(names)
        with _inside((self, {name: name in on for name in self._enabled})):
            yield

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


# One variable for all models: a context keeps every variable that was ever set in it.
_blocks: ContextVar[tuple[Block, ...]] = ContextVar("orchestra_blocks", default=())


@contextmanager
def _inside(block: Block) -> Iterator[None]:
    """Have a block act in the current context; blocks may end in any order."""
    _blocks.set((*_blocks.get(), block))
    try:
        yield
    finally:
        _blocks.set(tuple(other for other in _blocks.get() if other is not block))


class Switched:
    """What a composed model offers of its toggles; goes before `PreTrainedModel` among its parents."""

    _toggles: Toggles

    @property
    def active(self) -> tuple[str, ...]:
        """The augments that are on, sorted; one that feeds only others that are off does not run, and is left out."""
        return tuple(sorted(self._toggles.active))

    def ablate(self, *names: str) -> AbstractContextManager[None]:
        """Switch augments off inside a `with` block, for the thread that entered it.

        Raises:
            ComposeError: an augment of that name is not there.
        """
        return self._toggles.without(names)

    def only(self, *names: str) -> AbstractContextManager[None]:
        """Switch all augments but these off, and these on, inside a `with` block; no name leaves the anchor alone."""
        return self._toggles.only(names)

    def unswitched(self) -> AbstractContextManager[None]:
        """Keep on what is on, and off what is off, inside a `with` block, whatever another thread switches."""
        return self._toggles.only(self._toggles.active)

    def enable(self, *names: str) -> None:
        """Switch augments on until further notice."""
        self._toggles.switch(names, on=True)

    def disable(self, *names: str) -> None:
        """Switch augments off until further notice."""
        self._toggles.switch(names, on=False)
