"""How long a training took, over interruptions."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def timed(clock: Path) -> Iterator[None]:
    """Add the CPU seconds of a block to a file."""
    clock.parent.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    try:
        yield
    finally:
        before = float(clock.read_text()) if clock.is_file() else 0.0
        clock.write_text(f"{before + time.process_time() - start:.1f}")
