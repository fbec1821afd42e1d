"""What is known of a merge before a weight is read: its problems, or the facts of the model that comes of it.

No torch, no mergekit.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestra.errors import OrchestraError
from orchestra.graph import ModelFacts
from orchestra.io.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, fingerprint, remembered_sha256
from orchestra.io.facts import config_facts, tokenizer_fingerprint
from orchestra.io.merge_sources import Sources, find_sources
from orchestra.io.merge_tokenizer import built_tokenizer, donor_of, tokenizer_problems
from orchestra.io.places import Places
from orchestra.merging.check import check
from orchestra.merging.document import builds_tokenizer, references, replaced, structure
from orchestra.merging.merge import MERGING, Merge, Source, numbered
from orchestra.merging.result import merged_names, num_layers, num_params, weight_bytes
from orchestra.spec import GraphSpec

GENERATION = "generation_config.json"
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja", "chat_template.json"),
)
"""What a tokenizer is made of on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What came of looking at a merge.

    Attributes:
        facts: of its result; None where there are problems.
        tokenizer: the folder that the result's tokenizer comes from, or the result's own source where it is built with
            it; None where there is none.
        problems: a line each.
    """

    facts: ModelFacts | None
    tokenizer: str | None
    problems: list[str]


def gather_merges(
    spec: GraphSpec, places: Places, known: Collection[str] = ()
) -> tuple[dict[str, ModelFacts], dict[str, str], list[str]]:
    """The facts of every merge in a graph document and the places of their tokenizers, by name; and their problems.

    Args:
        known: models that are in memory already; how they could be merged is not read.
    """
    models, tokenizers, problems = {}, {}, []
    for name, model in (("anchor", spec.anchor), *sorted(spec.augments.items())):
        if isinstance(model.model, str) or name in known:
            continue
        field = f"{name if name == 'anchor' else f'augments.{name}'}.model."
        source = model.model
        merged = merge_facts(source.merge, places, tokenizer=source.tokenizer, seed=source.seed, field=field)
        problems += merged.problems
        if merged.facts is not None:
            models[name] = merged.facts
        if merged.tokenizer is not None:
            tokenizers[name] = merged.tokenizer
    return models, tokenizers, problems


def merge_facts(
    recipe: Mapping[str, Any], where: Places, *, tokenizer: str | None = None, seed: int = 0, field: str = ""
) -> Merged:
    """Look at a merge: read the configs and headers of its models, and check its recipe against them.

    Args:
        where: where its models are looked for, in folders and on the Hub.
        tokenizer: the folder of the tokenizer that the result takes, where that is said.
        seed: of methods that drop at random.
        field: of a graph document, where the merge stands; with it, problems name the document's fields.
    """
    malformed = structure(recipe)
    sources = find_sources(recipe, where)
    models, places, facts = sources.models, sources.places, sources.facts
    keep, unkept = _kept_tokenizer(tokenizer, where, f"{field}tokenizer")
    first = {model: name for name, model in reversed(models.items())}  # a folder may have several names
    recipe = replaced(recipe, lambda _, name: first[models[name]] if name in models else name)
    problems = [*malformed, *check(recipe, facts, tokenizer=tokenizer), *sources.problems]
    if not problems:
        problems = tokenizer_problems(recipe, places, facts, keep)
    if problems or unkept:
        told = [f"{field}merge.{line}" if field else line for line in dict.fromkeys(problems)]
        return Merged(facts=None, tokenizer=None, problems=[*told, *unkept])
    return _merged(recipe, sources, keep, seed)


def _kept_tokenizer(tokenizer: str | None, where: Places, field: str) -> tuple[Path | None, list[str]]:
    """The folder of the tokenizer that is to be kept, and what is wrong with it."""
    if tokenizer is None:
        return None, []
    try:
        place = where.find(tokenizer, field).path
        if tokenizer_fingerprint(place) is None:
            return place, [f"{field} is {tokenizer!r}, which holds no tokenizer.json."]
    except OrchestraError as error:
        return None, str(error).splitlines()
    return place, []


def weights_fingerprint(facts: ModelFacts) -> str:
    """SHA-256 of a model's weights; of a merge, of what decides them."""
    return fingerprint(Path(facts.source)) if facts.merge is None else result_fingerprint(facts.merge)


def config_folder(facts: ModelFacts) -> Path:
    """Where a model's config is, but for the number of its layers and tokens: a merge keeps that of its first model."""
    return Path(facts.source) if facts.merge is None else Path(facts.merge.sources[0].folder)


def result_fingerprint(merge: Merge) -> str:
    """SHA-256 of what decides a merge's weights: the recipe, and the weights that go in."""
    built = builds_tokenizer(json.loads(merge.recipe))
    weights = list(map(_source_sha, merge.sources[: merge.merged]))
    return merge.fingerprint(weights, [_tokenizer_sha(one.folder) for one in merge.sources] if built else [])


def cache_key(merge: Merge) -> str:
    """SHA-256 of everything that a merge's folder is made of."""
    folders = [*(Path(one.folder) for one in merge.sources), *([Path(merge.tokenizer)] if merge.tokenizer else [])]
    files = [
        (index, name, remembered_sha256(folder / name))
        for index, folder in enumerate(folders)
        for name in ("config.json", GENERATION, *TOKENIZER_FILES)
        if (folder / name).is_file()
    ]
    return hashlib.sha256(json.dumps([result_fingerprint(merge), files]).encode()).hexdigest()


def _source_sha(source: Source) -> str:
    own = fingerprint(Path(source.folder))
    if source.adapter is None:
        return own
    added = [remembered_sha256(Path(source.adapter) / name) for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)]
    return hashlib.sha256("\n".join([own, *added]).encode()).hexdigest()


def _tokenizer_sha(folder: str) -> str:
    return tokenizer_fingerprint(Path(folder)) or ""


def _merged(recipe: Mapping[str, Any], sources: Sources, keep: Path | None, seed: int) -> Merged:
    """The facts of the result of a recipe that has no problems."""
    places, facts = sources.places, sources.facts
    order, named = merged_names(recipe), [name for _, name in references(recipe)]
    models = list(dict.fromkeys(sources.models[name] for name in (*order, *named)))
    built, donor = builds_tokenizer(recipe), donor_of(order, facts, keep)
    own = built or recipe.get("chat_template") is not None
    merge = Merge(
        recipe=numbered(recipe, {name: models.index(model) for name, model in sources.models.items()}),
        sources=tuple(models),
        merged=len({sources.models[name] for name in order}),
        tokenizer=None if own or donor is None else donor,
        seed=seed,
        keeps=keep is not None,
    )
    first = facts[order[0]]
    said = [merge.recipe, [(model.folder, model.adapter) for model in models], donor, seed]
    digest = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:8]
    source = f"<{recipe['merge_method']} of {', '.join(map(sources.called, models))}, {digest}>"
    sha, vocab = built_tokenizer(recipe, places, order, facts) if built else (None, first.vocab_size)
    if not built:
        sha = None if donor is None else tokenizer_fingerprint(Path(donor))
    params = num_params(recipe, facts, first, vocab)
    result = replace(
        config_facts(first.config, source=source),
        num_layers=num_layers(recipe, first),
        vocab_size=vocab,
        tokenizer=sha,
        num_params=params,
        weight_bytes=weight_bytes(recipe, first, params),
        conversion=MERGING,
        merge=merge,
        parents=tuple(sources.origins.get(model.folder) for model in models),
        adapters=tuple(sources.origins.get(model.adapter or "") for model in models),
    )
    return Merged(facts=result, tokenizer=source if own else donor, problems=[])
