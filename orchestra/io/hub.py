"""The Hugging Face Hub, by way of its own client and its cache: what is fetched, and what each refusal means. No torch.

Only safetensors, configs and tokenizers are ever fetched: no pickles, and no code.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePath

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from orchestra.errors import HubError, ModelError
from orchestra.files import TOKENIZER_BYTES
from orchestra.graph import Origin
from orchestra.io.bundle import CONFIG_FILE, WEIGHTS_FILE
from orchestra.io.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, fetched, weight_names
from orchestra.io.headers import kept_headers
from orchestra.io.hosted import CARD_FILE, GRAPH_FILE, MODEL_SUFFIXES, Kind, Snapshot, is_revision, named, unfetched
from orchestra.io.hub_headers import fetch_headers
from orchestra.problems import printable

UNANSWERED: tuple[type[Exception], ...] = (OSError, HFValidationError, HfHubHTTPError.__bases__[0])
"""What the client raises; the last is the root of its HTTP library's errors, of which it has changed once already."""

_UNFETCHED: tuple[type[Exception], ...] = (*UNANSWERED, ValueError)
"""What it raises over a download; the last over names of files that lead out of their folder."""
_SMALL = [f"*{suffix}" for suffix in MODEL_SUFFIXES]
_PATTERNS: dict[Kind, list[str]] = {
    "graph": [*_SMALL, "*.safetensors", f"*{CARD_FILE}"],
    "model": _SMALL,
    "merged": _SMALL,
    "adapter": [ADAPTER_CONFIG],
    "bundle": [CONFIG_FILE, WEIGHTS_FILE],
    "card": [*_SMALL, CARD_FILE],
}
_LICENCE = re.compile(r"""^(license|license_name):[ ]*["']?([\w. +-]*\w)["']?[ ]*$""", re.MULTILINE)
_CARD_LENGTH = 1 << 16
_FIRST = (GRAPH_FILE, CONFIG_FILE)
"""Without one of these it is no graph and no bundle, but may be a model of any size: no more of it is fetched."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class _Silent(tqdm):
    """No bar: small files are there at once."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]


class Online:
    """Fetches repositories into the Hub's cache, or finds them there.

    As long as it lives, a branch stands for one commit. Of a model everything but the weights is fetched; `weights`
    fetches them.
    """

    def __init__(self, *, token: bool | str | None = None, local_files_only: bool = False) -> None:
        """Nothing is asked yet.

        Args:
            token: None is the one of the login.
            local_files_only: whether to stay in the cache. `HF_HUB_OFFLINE=1` does the same.
        """
        self._token = token
        self._local = local_files_only
        self._commits: dict[tuple[str, str | None], str] = {}

    def __call__(self, repo: str, revision: str | None, kind: Kind) -> Snapshot:
        """The files of a repository; see `Hub`."""
        if revision is not None and not is_revision(revision):
            raise HubError(f"{revision!r} is no revision's name.")
        commit = self._commits.get((repo, revision), revision)
        self._refuse_long(repo, commit, kind)
        folder = self._fetch(repo, commit, _FIRST if kind == "graph" else _PATTERNS[kind])
        self._commits[repo, revision] = folder.name
        if kind == "graph" and any((folder / name).is_file() for name in _FIRST):
            folder = self._fetch(repo, folder.name, _PATTERNS[kind], nested=True)
        snapshot = Snapshot(origin=Origin(repo=repo, commit=folder.name), folder=folder)
        self._headers(snapshot, kind)
        return snapshot

    def weights(self, origin: Origin, kind: Kind = "model") -> None:
        """Fetch the weights of a model, or an adapter, whose other files are there.

        Raises:
            HubError: they are not to be had.
            ModelError: the repository has none that are loaded.
        """
        if kind == "adapter":
            self._fetch(origin.repo, origin.commit, [ADAPTER_CONFIG, ADAPTER_WEIGHTS], bars=True)
            return
        folder = self._fetch(origin.repo, origin.commit, _PATTERNS["model"])
        if fetched(folder):
            return
        self._fetch(origin.repo, origin.commit, weight_names(folder), bars=True)
        if not fetched(folder):
            raise ModelError(f"{origin.repo}: holds no {weight_names(folder)[0]}{self._but_pickles(origin)}.")

    def _fetch(
        self, repo: str, revision: str | None, patterns: Sequence[str], *, nested: bool = False, bars: bool = False
    ) -> Path:
        try:
            folder = snapshot_download(
                repo,
                revision=revision,
                token=self._token,
                local_files_only=self._local,
                allow_patterns=list(patterns),
                ignore_patterns=None if nested else ["*/*"],
                tqdm_class=None if bars else _Silent,
            )
        except _UNFETCHED as error:
            raise HubError(refusal(error, repo, revision, offline=self._local)) from error
        return Path(folder)

    def _headers(self, snapshot: Snapshot, kind: Kind) -> None:
        """Read the headers of the weights of what is merged, where they are not known."""
        origin, names = snapshot.origin, unfetched(snapshot, kind)
        if kept_headers(origin, names) is not None:
            return
        if self._local or constants.HF_HUB_OFFLINE:
            at = named(origin.commit)
            raise HubError(f"the Hub's cache does not hold all of {origin.repo}{at}, and nothing is fetched offline.")
        try:
            fetch_headers(origin, names, token=self._token)
        except EntryNotFoundError as error:
            raise ModelError(f"{origin.repo}: holds no {names[0]}{self._but_pickles(origin)}.") from error
        except _UNFETCHED as error:
            raise HubError(refusal(error, origin.repo, origin.commit)) from error

    def _refuse_long(self, repo: str, revision: str | None, kind: Kind) -> None:
        """Raise over a file, weights apart, that is too long to be read, before it is fetched.

        Raises:
            HubError: there is one.
        """
        if self._local or constants.HF_HUB_OFFLINE:
            return
        try:
            held = HfApi(token=self._token).model_info(repo, revision=revision, files_metadata=True).siblings or []
        except _UNFETCHED:  # what is cached is found without an answer, and what is not is refused with the reason
            return
        for path, size in ((file.rfilename, file.size or 0) for file in held):
            read = any(fnmatch(path, pattern) for pattern in _PATTERNS[kind]) and (kind == "graph" or "/" not in path)
            if read and size > TOKENIZER_BYTES and not path.endswith(".safetensors"):
                raise HubError(
                    f"{repo}: {printable(path)} is {size:,} bytes long, and {TOKENIZER_BYTES:,} are fetched at most."
                )

    def _but_pickles(self, origin: Origin) -> str:
        try:
            files = HfApi(token=self._token).list_repo_files(origin.repo, revision=origin.commit)
        except UNANSWERED:
            return ""
        pickles = [file for file in sorted(files) if PurePath(file).suffix in _PICKLES]
        return f", only pickled weights ({pickles[0]}), which are never loaded" if pickles else ""


def licence(origin: Origin, *, token: bool | str | None = None) -> str | None:
    """The licence that a repository's card states; None where it states none.

    Raises:
        HubError: the card cannot be read.
    """
    snapshot = Online(token=token)(origin.repo, origin.commit, "card")
    path = snapshot.folder / CARD_FILE
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="replace") as card:
        begin, _, metadata = card.read(_CARD_LENGTH).partition("---\n")
    stated = dict(_LICENCE.findall(metadata.partition("\n---")[0])) if not begin.strip() else {}
    return stated.get("license_name") if stated.get("license") == "other" else stated.get("license")


def refusal(
    error: BaseException, repo: str, revision: str | None, *, offline: bool = False, writes: bool = False
) -> str:
    """What an error of the client means, in a sentence."""
    page = f"{constants.ENDPOINT}/{repo}"
    if isinstance(error, HFValidationError):
        return f"{repo!r} is no repository's name: {' '.join(str(error).split())}"
    if isinstance(error, ValueError):
        return f"{repo}{named(revision)} cannot be put into a folder: {printable(error, 300)}"
    if isinstance(error, GatedRepoError):
        return f"{repo} is gated: ask for access at {page}, and log in with `hf auth login`."
    if isinstance(error, RevisionNotFoundError):
        return f"the Hub has no {repo}{named(revision)}."
    if isinstance(error, RepositoryNotFoundError):
        return f"the Hub has no {repo}, or shows it to others only: check the name, or log in with `hf auth login`."
    if writes and isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
        return f"the Hub does not let you write to {repo}: log in with `hf auth login`, with a token that may."
    if isinstance(error, LocalEntryNotFoundError) and (offline or constants.HF_HUB_OFFLINE):
        return f"the Hub's cache does not hold all of {repo}{named(revision)}, and nothing is fetched offline."
    told = " ".join(str(error).split()) or type(error).__name__
    return f"{repo} was not reached to the end; what arrived whole is kept, so try again: {told[:300]}"
