"""A merge that can be made: what travels from paper to mergekit, and what it is known by."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestra.merging.document import replaced

MERGING = "mergekit@0.1"
"""How a recipe becomes tensors. Raised when a recipe would give others than before: older bundles are then refused."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model that goes into a merge: its folder, and that of an adapter which is added to it first."""

    folder: str
    adapter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """A recipe whose models are numbered: where they lie is no part of what it makes.

    Attributes:
        recipe: mergekit's document as JSON, its models called by their numbers.
        sources: the models, by number.
        merged: how many of them are merged; those that follow lend their tokenizer alone.
        tokenizer: the folder whose tokenizer the result takes; None where mergekit writes one, or there is none.
        seed: of methods that drop at random.
        keeps: whether that folder was named beside the recipe.
    """

    recipe: str
    sources: tuple[Source, ...]
    merged: int
    tokenizer: str | None
    seed: int
    keeps: bool = False

    def document(self, places: Sequence[str]) -> dict[str, Any]:
        """The recipe as mergekit takes it, with its models at these places."""
        return replaced(json.loads(self.recipe), lambda _, number: {"model": {"path": places[int(number)]}})

    def restated(self, names: Sequence[str]) -> dict[str, Any]:
        """The recipe as a graph says it, with its models by these names."""
        return replaced(json.loads(self.recipe), lambda _, number: names[int(number)])

    def fingerprint(self, weights: Sequence[str], tokenizers: Sequence[str]) -> str:
        """SHA-256 of what decides the result's weights.

        Args:
            weights: SHA-256 of the merged models' weights, by number.
            tokenizers: likewise of every tokenizer that the weights are fitted to; empty where they are not.
        """
        decides = [MERGING, self.recipe, self.seed, list(weights), list(tokenizers)]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


def numbered(recipe: Mapping[str, Any], numbers: Mapping[str, int]) -> str:
    """A recipe as JSON in which each model is called by its number; equal recipes are equal texts."""
    document = replaced(recipe, lambda _, name: {"model": {"path": str(numbers[name])}})
    return json.dumps({key: value for key, value in document.items() if value is not None}, sort_keys=True)
