"""Orchestra composes language models: one frozen anchor, frozen augments, and trained bridges between them.

`orchestra.load("graph.json")` returns the composed model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from orchestra.errors import (
    BundleError,
    ComposeError,
    DataError,
    EvalError,
    GraphError,
    HubError,
    LockError,
    MergeError,
    ModelError,
    OrchestraError,
    SpecError,
    TrainError,
)

if TYPE_CHECKING:
    from orchestra.api import load
    from orchestra.io.merge import merge
    from orchestra.runtime.model import ComposedModel

__version__ = "0.1.0"
__all__ = [
    "BundleError",
    "ComposeError",
    "ComposedModel",
    "DataError",
    "EvalError",
    "GraphError",
    "HubError",
    "LockError",
    "MergeError",
    "ModelError",
    "OrchestraError",
    "SpecError",
    "TrainError",
    "load",
    "merge",
]

# Loaded on first use: `orchestra check` must not wait for torch.
_LAZY = {
    "load": "orchestra.api",
    "merge": "orchestra.io.merge",
    "ComposedModel": "orchestra.runtime.model",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'orchestra' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
