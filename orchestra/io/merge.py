"""Merges models with mergekit: for a graph once, kept in Orchestra's cache; for `merge()` into a folder of the user's.

A merge in the cache is named by the SHA-256 of its recipe and of every file that goes in: a change of either makes
another. It appears whole or not at all. mergekit sees the models under links that are there for one merge alone, since
it remembers what it has read by path; the links show it safetensors and no pickle.
"""

import logging
import secrets
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from orchestra.errors import MergeError
from orchestra.graph import ModelFacts
from orchestra.io.adapter import add_adapter
from orchestra.io.checkpoint import cache_folder, weight_files
from orchestra.io.facts import model_facts
from orchestra.io.foreign import UNLOADABLE, quiet, told
from orchestra.io.hosted import weights_of
from orchestra.io.hub import Online
from orchestra.io.kept import is_whole, kept
from orchestra.io.merge_facts import GENERATION, TOKENIZER_FILES, cache_key, merge_facts
from orchestra.io.places import Places
from orchestra.io.recipe_file import read_recipe
from orchestra.merging.merge import Merge

_UNMERGEABLE = (*UNLOADABLE, AssertionError, NotImplementedError)
_INDEX = "model.safetensors.index.json"
_SOURCES = "sources"


def merge(
    recipe: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    tokenizer: str | Path | None = None,
    seed: int = 0,
    token: bool | str | None = None,
    local_files_only: bool = False,
) -> Path:
    """Merge models as a mergekit recipe says.

    Args:
        recipe: a YAML or JSON file; or the recipe itself. Relative paths start at the working directory; a model may
            be a repository on the Hub, `owner/name@revision`. Weights are fetched once all else fits.
        out: a folder that is not there yet.
        tokenizer: the folder of the tokenizer that the result takes; default: what the recipe says, else the base
            model's, or the first model's that has one.
        seed: of methods that drop weights at random.
        token: for the Hub; None is the one of the login.
        local_files_only: take repositories from the Hub's cache, and ask nobody.

    Returns:
        The folder.

    Raises:
        MergeError: the recipe cannot be read or carried out, every problem is listed; or `out` is there already.
        HubError: weights are not to be had.
    """
    target = Path(out).expanduser()
    if isinstance(recipe, Mapping):
        content, whence = dict(recipe), ""
    else:
        content, whence = read_recipe(Path(recipe).expanduser()), f"{recipe}: "
    keep = None if tokenizer is None else str(tokenizer)
    taken = [f"{out}: is there already; name a folder that is not."] if target.exists() or target.is_symlink() else []
    hub = Online(token=token, local_files_only=local_files_only)

    def look() -> tuple[ModelFacts, Merge]:
        found = merge_facts(content, Places(folder=Path.cwd(), hub=hub), tokenizer=keep, seed=seed)
        problems = [*(f"{whence}{line}" for line in found.problems), *taken]
        if problems or found.facts is None or found.facts.merge is None:
            raise MergeError.listing(problems)
        return found.facts, found.facts.merge

    facts, made = look()
    _check_package()
    needs = dict.fromkeys(weights_of(facts))
    for origin, kind in needs:
        hub.weights(origin, kind)
    facts, made = look() if needs else (facts, made)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        partial.mkdir(parents=True)
        _make(facts, made, partial)
        partial.rename(target)
    except OSError as error:
        raise MergeError(f"{out}: cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def model_folder(facts: ModelFacts) -> Path:
    """The folder, or the GGUF file, that a model is loaded from; a merge is made now if it never was.

    Raises:
        MergeError: mergekit is missing or fails, a model changes meanwhile, or the disk refuses.
    """
    if facts.merge is None:
        return Path(facts.source)
    recipe, key = facts.merge, cache_key(facts.merge)
    folder = cache_folder() / "merged" / key
    if is_whole(folder):
        return folder
    _check_package()

    def make(partial: Path) -> None:
        _say(f"Merging {facts.source} once, into {folder} ...")
        _make(facts, recipe, partial)
        if cache_key(recipe) != key:
            raise MergeError(f"{facts.source}: a model changed while it was merged; try again.")

    try:
        return kept(folder, make)
    except OSError as error:
        raise MergeError(f"{facts.source}: cannot be merged in {folder.parent}: {error.strerror or error}.") from error


def tokenizer_folder(facts: ModelFacts, place: str | None) -> Path:
    """Where a model's tokenizer is, of what a graph says: a merge may be made with its own."""
    return model_folder(facts) if facts.merge is not None and place == facts.source else Path(place or "")


def _make(facts: ModelFacts, recipe: Merge, partial: Path) -> None:
    """Fill an empty folder with what comes of a merge, and see that it is what was promised on paper."""
    places = [partial / _SOURCES / str(index) for index in range(len(recipe.sources))]
    for index, (source, place) in enumerate(zip(recipe.sources, places, strict=True)):
        _link(Path(source.folder), place, weights=index < recipe.merged)
        if source.adapter is not None and index < recipe.merged:
            add_adapter(place, Path(source.adapter))
    try:
        with quiet(), _heard():
            _run(recipe, places, partial)
    except _UNMERGEABLE as error:
        text = told(error)
        for place, source in zip(places, recipe.sources, strict=True):
            text = text.replace(str(place), source.folder)
        raise MergeError(f"{facts.source}: mergekit cannot make it: {text}") from error
    shutil.rmtree(partial / _SOURCES)
    if recipe.tokenizer is not None:
        files = [Path(recipe.tokenizer) / name for name in TOKENIZER_FILES]
        for file in (*files, Path(recipe.sources[0].folder) / GENERATION):
            if file.is_file():
                shutil.copyfile(file, partial / file.name)
    _verify(facts, partial)


def _link(folder: Path, place: Path, *, weights: bool) -> None:
    """Show a folder's config, tokenizer and, where they are merged, weights under another name."""
    files = [folder / name for name in ("config.json", *TOKENIZER_FILES)]
    if weights:
        files += weight_files(folder)
        files += [folder / _INDEX] if not (folder / "model.safetensors").is_file() else []
    place.mkdir(parents=True)
    for file in files:
        if file.is_file():
            (place / file.name).symlink_to(file.resolve())


def _run(recipe: Merge, places: list[Path], out: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # mergekit 0.1.5 reaches for numpy.core
        from mergekit.config import MergeConfiguration
        from mergekit.io.tasks import LoaderCache
        from mergekit.merge import run_merge
        from mergekit.options import MergeOptions

    class Ordered(MergeConfiguration):  # type: ignore[misc]
        # mergekit 0.1.5 counts its models in an order that changes from run to run
        def referenced_models(self) -> list[Any]:
            known = {model.model.path: model for model in super().referenced_models()}
            return [known[str(place)] for place in places if str(place) in known]

    document = recipe.document([str(place) for place in places])
    rewritten = recipe.tokenizer is None and "chat_template" in document
    options = MergeOptions(copy_tokenizer=rewritten, write_model_card=False)
    try:
        with torch.random.fork_rng(devices=[]):  # mergekit's own seeding would seed the user's generators
            torch.default_generator.manual_seed(recipe.seed)
            run_merge(Ordered.model_validate(document), str(out), options)
    finally:
        for model in list(LoaderCache.loaders):  # it would keep their files open
            if Path(model.model.path).is_relative_to(out):
                del LoaderCache.loaders[model]


@contextmanager
def _heard() -> Iterator[None]:
    """Pass on what mergekit warns of, without its setting up logging for the whole program."""
    said: dict[str, None] = {}

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said[record.getMessage()] = None

    listener, root = Listener(logging.WARNING), logging.getLogger()
    root.addHandler(listener)
    try:
        yield
    finally:
        root.removeHandler(listener)
        for text in said:
            _say(f"mergekit: {text}")


def _verify(facts: ModelFacts, folder: Path) -> None:
    """Refuse a result that is not the model that was announced, or that holds no numbers."""
    made = model_facts(folder)
    for field in ("model_type", "num_layers", "d_model", "num_heads", "vocab_size"):
        found, wanted = getattr(made, field), getattr(facts, field)
        if found != wanted:
            raise MergeError(f"{facts.source}: mergekit made a model whose {field} is {found}, not {wanted}.")
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                weight = tensors.get_tensor(name)
                if weight.is_floating_point() and not weight.isfinite().all():
                    raise MergeError(f"{facts.source}: the merge holds NaN or infinity in {name}; change its weights.")


def _check_package() -> None:
    if find_spec("mergekit") is None:
        raise MergeError("merging needs mergekit: pip install 'orchestra-lm[merge]'.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
