"""The tokenizer of a merge on paper: whose it is, or what comes of building one. No torch, no mergekit."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestra.io.checkpoint import read_json
from orchestra.io.facts import tokenizer_fingerprint
from orchestra.merging.document import builds_tokenizer, named, references
from orchestra.merging.groups import SourceFacts
from orchestra.merging.result import merged_names


def tokenizer_problems(
    recipe: Mapping[str, Any], places: Mapping[str, Path], facts: Mapping[str, SourceFacts], keep: Path | None
) -> list[str]:
    """What is wrong with the tokenizers of a recipe that has no other problem.

    Args:
        keep: the folder of the tokenizer that the result takes, where that is said.
    """
    if builds_tokenizer(recipe):
        fields = {name: field for field, name in reversed(references(recipe))}
        problems = [
            f"{fields[name]} holds no tokenizer.json, from which the result's tokenizer is to be built."
            for name, place in places.items()
            if tokenizer_fingerprint(place) is None
        ]
        problems += [
            f"{field} is {name!r}, which is not one of the models that are merged."
            for field, name in references(recipe)
            if field.startswith("tokenizer.tokens.") and name not in facts
        ]
        return problems
    known = {name: one.tokenizer for name, one in facts.items() if one.tokenizer is not None}
    if recipe.get("chat_template") is not None and facts[next(iter(merged_names(recipe)))].tokenizer is None:
        return [f"chat_template is for a tokenizer, but {next(iter(merged_names(recipe)))} holds no tokenizer.json."]
    if keep is None and len(set(known.values())) > 1:
        return [
            f"tokenizer_source is missing: {' and '.join(known)} have different tokenizers; "
            "set it to 'union', 'base' or a model, or say whose tokenizer is kept."
        ]
    return []


def donor_of(order: list[str], facts: Mapping[str, SourceFacts], keep: Path | None) -> str | None:
    """The folder whose tokenizer the result takes: the base model's, or else the first model's that has one."""
    if keep is not None:
        return str(keep)
    return next((facts[name].path for name in order if facts[name].tokenizer is not None), None)


def built_tokenizer(
    recipe: Mapping[str, Any], places: Mapping[str, Path], order: list[str], facts: Mapping[str, SourceFacts]
) -> tuple[str, int]:
    """The fingerprint and the vocabulary's size of the tokenizer that mergekit builds.

    The fingerprint is that of a model's own where the ids are: else it stands for how the tokenizer is built.
    """
    said = recipe.get("tokenizer") or {"source": recipe.get("tokenizer_source")}
    source = said.get("source", "union")
    prints = [tokenizer_fingerprint(places[name]) or "" for name in order]
    if source == "union":
        tokens = {token for name in order for token in _tokens(places[name], below=facts[name].vocab_size)}
        sha = prints[0] if len(set(prints)) == 1 else _sha(["union", prints])
    elif source == "base":
        tokens, sha = _tokens(places[order[0]], below=facts[order[0]].vocab_size), prints[0]
    else:
        place = places[named(source) or ""]
        tokens, sha = _tokens(place), tokenizer_fingerprint(place) or ""
    added = sorted(set(said.get("tokens") or {}) - tokens)
    size, multiple = len(tokens) + len(added), said.get("pad_to_multiple_of") or 1
    return _sha([sha, added]) if added else sha, -(-size // multiple) * multiple


def _tokens(folder: Path, *, below: int | None = None) -> set[str]:
    """The tokens of a tokenizer.json, without those that the model has no embedding for."""
    content = read_json(folder / "tokenizer.json")
    vocabulary = content["model"].get("vocab", {})
    if isinstance(vocabulary, list):  # unigram: pairs of a token and its score, by id
        vocabulary = {token: index for index, (token, _) in enumerate(vocabulary)}
    ids = {**vocabulary, **{added["content"]: added["id"] for added in content.get("added_tokens") or []}}
    return {token for token, index in ids.items() if below is None or index < below}


def _sha(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
