"""Ctrl-C and SIGTERM as a wish: finish the step, write a checkpoint, then stop. A second Ctrl-C stops at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Wish:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.stop = False

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: it is the second Ctrl-C.
        """
        # A launcher passes SIGTERM to the processes that have had the terminal's Ctrl-C: that is no second wish.
        if self.stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop = True


@contextmanager
def listening() -> Iterator[Wish]:
    """Turn signals into a wish inside a block; outside the main thread nothing is heard."""
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    earlier = {number: signal.signal(number, wish.receive) for number in numbers}
    try:
        yield wish
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
