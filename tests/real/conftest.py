"""Real models, where `make real` has put them; each is loaded once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from orchestra.lab.weights import fetch


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """The folder of a real model; the test is skipped where it is not there."""

    def folder(name: str) -> Path:
        place = fetch.folder(name)
        if not (place / "config.json").is_file():
            pytest.skip(f"{place} is not there; `make real` fetches it")
        return place

    return folder


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    """Real models are large enough to mind what is kept for a backward pass."""
    with torch.no_grad():
        yield
