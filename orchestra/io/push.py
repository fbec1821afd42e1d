"""Sends a parcel to the Hub: everything in one commit, so that nothing half-written can ever be loaded. No torch."""

from collections.abc import Iterable, Sequence

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi

from orchestra.errors import HubError
from orchestra.io.bundle import CONFIG_FILE
from orchestra.io.hosted import CARD_FILE, GRAPH_FILE
from orchestra.io.hosting import OURS, Parcel
from orchestra.io.hub import UNANSWERED, licence, refusal

_UNSENT: tuple[type[Exception], ...] = (*UNANSWERED, RuntimeError)
"""What the client raises; the last over an upload that broke off."""


def push(
    parcel: Parcel,
    repo: str,
    *,
    commit_message: str | None = None,
    private: bool | None = None,
    token: bool | str | None = None,
    revision: str | None = None,
) -> CommitInfo:
    """Put a parcel into a repository, which is created where there is none; what an earlier one left there goes.

    Args:
        repo: `owner/name`, or a name of one's own.
        private: of a repository that is created; None is the owner's default.
        token: None is the one of the login.
        revision: the branch, which is created where there is none; None is `main`.

    Raises:
        HubError: the Hub refuses, cannot be reached, or the repository holds something else.
    """
    api, name = HfApi(token=token), repo
    try:
        licences = {origin.repo: licence(origin, token=token) for origin in parcel.parents}
        name = api.create_repo(repo, private=private, exist_ok=True).repo_id
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        held = api.list_repo_files(name, revision=revision)
        _refuse_strangers(name, held, parcel)
        texts = parcel.texts(name, licences)
        additions = [
            *(CommitOperationAdd(path, text.encode()) for path, text in texts.items()),
            *(CommitOperationAdd(path, str(file)) for path, file in parcel.files.items()),
        ]
        return api.create_commit(
            name,
            [*additions, *_outdated(held, {*texts, *parcel.files})],
            commit_message=commit_message or "Upload with Orchestra",
            revision=revision,
        )
    except _UNSENT as error:
        raise HubError(refusal(error, name, revision, writes=True)) from error


def _outdated(held: Iterable[str], sent: Iterable[str]) -> list[CommitOperationDelete]:
    return [CommitOperationDelete(path) for path in sorted(set(held) - {*sent}) if path.startswith(OURS)]


def _refuse_strangers(repo: str, held: Sequence[str], parcel: Parcel) -> None:
    """Raise where a repository is something else, whose card would be lost."""
    ours = GRAPH_FILE if CONFIG_FILE not in parcel.files else CONFIG_FILE
    strangers = [path for path in sorted(held) if path not in (".gitattributes", CARD_FILE)]
    if strangers and ours not in held:
        raise HubError(f"{repo}: not written: it holds {strangers[0]} and no {ours}, so that it is something else.")
