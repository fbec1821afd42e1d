"""Every error a user can meet.

OrchestraError
├── SpecError        the JSON is not a graph                     (fix the file)
├── GraphError       the graph cannot exist                      (fix the wiring)
├── ModelError       a model's files are missing or damaged      (fix the folder)
├── MergeError       models cannot be merged as a recipe says    (fix the recipe)
├── BundleError      the bridge weights do not fit               (fix the bundle)
├── HubError         the Hub has it not, or does not give it     (fix the id, the revision or the login)
├── LockError        a file is not the one that is locked        (fix the file, or lock again)
├── DataError        a record is malformed                       (fix the data)
├── TrainError       a training cannot start, or go on           (fix the settings)
├── EvalError        an evaluation cannot be run                 (fix the call)
└── ComposeError     misuse of a composed model                  (fix the call)
"""

from collections.abc import Iterable
from itertools import islice

SHOWN = 100
"""How many problems an error lists; of more it says only that there are more."""


class OrchestraError(Exception):
    """Root of the tree: catch this to catch everything Orchestra raises on purpose."""

    @classmethod
    def listing(cls, problems: Iterable[str]) -> "OrchestraError":
        """One error that names every problem, a line each; what a hostile file may cause without end is cut."""
        lines = list(islice(problems, SHOWN + 1))
        return cls("\n".join([*lines[:SHOWN], "and more problems."] if len(lines) > SHOWN else lines))


class SpecError(OrchestraError):
    """The JSON is not a graph document."""


class GraphError(OrchestraError):
    """The document is well formed, but the graph it declares cannot exist."""


class ModelError(OrchestraError):
    """The files of a model are missing, damaged, or of a kind that is not loaded."""


class MergeError(OrchestraError):
    """A merge cannot be made: its recipe, the models that it names, or what came of them."""


class BundleError(OrchestraError):
    """A bundle of bridge weights is damaged, or was trained for something else."""


class HubError(OrchestraError):
    """A repository is not on the Hub, not open to this user, not in the cache, or not to be reached."""


class LockError(OrchestraError):
    """A lock is damaged, belongs to another graph, or names other files than those found."""


class DataError(OrchestraError):
    """A record, of a training or of a task, is malformed."""


class TrainError(OrchestraError):
    """A training cannot start or cannot go on: settings, checkpoints of another training, a loss that is no number."""


class EvalError(OrchestraError):
    """An evaluation cannot be run: tasks, their files, or what is needed to run them."""


class ComposeError(OrchestraError):
    """A composed model was asked for something that it cannot do."""
