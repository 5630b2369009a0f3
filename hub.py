"""The Hugging Face Hub: which repositories this project has, how they are read, and the one way they are written.

Whatever takes a model or a dataset takes `owner/name`, or `owner/name@revision` (a branch, a tag, a commit). The token
is the environment's (HF_TOKEN) or the login's (`hf auth login`); none is ever an argument, printed or written.

Leaf module: huggingface_hub is imported only when the Hub is asked.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

Kind = Literal["merged", "gguf", "adapter", "dataset", "grpo"]
RepoType = Literal["model", "dataset"]

OWNER = "tobil"
REPOSITORIES: dict[Kind, str] = {
    "merged": "qmd-query-expansion-1.7B",
    "gguf": "qmd-query-expansion-1.7B-gguf",
    "adapter": "qmd-query-expansion-1.7B-sft",
    "dataset": "qmd-query-expansion-train",
    "grpo": "qmd-query-expansion-1.7B-grpo",
}
MAIN = "main"
EVALUATION = "evaluation"  # a branch: results of what main holds, measured again after a change of the rubric
_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@[\w./-]+)?")
_GGUF = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?P<revision>@[\w.-]+)?/(?P<path>.+\.gguf)")
_VERSIONED = re.compile(r"[-_.]v\d+([-_.]|$)", re.IGNORECASE)
_KEPT = {".gitattributes"}  # the Hub's own file


class HubError(RuntimeError):
    """What the Hub could not do, in one line, with what to do about it."""


# --- Names ---------------------------------------------------------------------------------------------


def repository(kind: Kind, owner: str | None = None) -> str:
    """The repository of one kind; the owner is QMD_HUB_OWNER's unless named, and else the specification's."""
    return f"{owner or os.environ.get('QMD_HUB_OWNER') or OWNER}/{REPOSITORIES[kind]}"


def repo_type(name: str) -> RepoType:
    """Whether one of this project's repositories holds a dataset or a model."""
    return "dataset" if name.endswith(f"/{REPOSITORIES['dataset']}") else "model"


def repository_of(model: str) -> str | None:
    """The repository of `owner/name[@revision]` or `owner/name[@revision]/file.gguf`; None for anything else."""
    found = _GGUF.fullmatch(model) or _NAME.fullmatch(model)
    return found["name"] if found and not Path(model).exists() else None


def check_unversioned(name: str) -> None:
    """Raise HubError for a name such as `...-v2`: repositories are updated in place, and git keeps the versions."""
    if _VERSIONED.search(name):
        raise HubError(
            f"{name}: no versions in names; a repository is updated in place, and its commits are its versions"
        )


def is_ours(name: str) -> bool:
    """Whether a repository has one of the names above, whoever owns it."""
    return name.partition("/")[2] in REPOSITORIES.values()


def is_name(name: str) -> bool:
    """Whether this can be `owner/name` or `owner/name@revision`, and is no path that exists."""
    return bool(_NAME.fullmatch(name)) and not Path(name).exists()


def split_revision(name: str) -> tuple[str, str | None]:
    """`owner/name@revision` in two; without a revision, None."""
    name, _, revision = name.partition("@")
    return name, revision or None


# --- Errors --------------------------------------------------------------------------------------------


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what huggingface_hub raises inside into a HubError about `name`."""
    from huggingface_hub import errors

    try:
        yield
    except HubError:
        raise
    # Refused uploads are RuntimeErrors there, and so are hf_xet's.
    except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:
        raise explain(error, name) from None


def explain(error: BaseException, name: str) -> HubError:
    """An error of huggingface_hub in one line, with what to do, and without the token."""
    from huggingface_hub import errors

    status = _status(error)
    if isinstance(error, errors.RevisionNotFoundError):
        said = "no such revision"
    elif isinstance(error, errors.RemoteEntryNotFoundError):
        said = "no such file there"
    elif isinstance(error, errors.RepositoryNotFoundError):
        said = "no such repository, or a private one without a token that may read it (hf auth login, or HF_TOKEN)"
    elif status == 401:
        said = "the token is not valid (hf auth login, or HF_TOKEN)"
    elif status == 403:
        said = "the token may not do this: it needs to be of this owner and of the kind `write`"
    elif status in (409, 412):
        said = "main has moved on since it was looked at: nothing was pushed; look at what came, and run this again"
    elif status == 429:
        said = "the Hub asks to wait (too many requests): run this again in a few minutes"
    elif status and status >= 500:
        said = f"the Hub failed (status {status}): run this again in a few minutes"
    elif isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        said = "no network, and it is not in the cache: run once with network, or name a folder"
    elif _unreachable(error):
        said = "no answer from the Hub: run this again; what it may have done already is not done twice"
    else:
        said = without_token(" ".join(str(error).split()))[:200]
    return HubError(f"{name}: {said}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status that is behind an error: the client wraps some in errors that have none."""
    found = (getattr(getattr(cause, "response", None), "status_code", None) for cause in _causes(error))
    return next((status for status in found if status), None)


def _unreachable(error: BaseException) -> bool:
    from huggingface_hub import errors

    words = ("connection", "timed out", "disconnected", "outgoing traffic")
    return any(
        # An error of the HTTP library that no answer belongs to is one of the connection.
        (isinstance(cause, errors.HTTPError) and not isinstance(cause, errors.HfHubHTTPError))
        or isinstance(cause, ConnectionError | TimeoutError)
        or any(word in str(cause).lower() for word in words)
        for cause in _causes(error)
    )


def without_token(text: str) -> str:
    """A text in which the token is three stars."""
    from huggingface_hub import get_token

    token = get_token()
    return text.replace(token, "***") if token else text


# --- Reading -------------------------------------------------------------------------------------------


def api() -> "HfApi":
    """The client."""
    from huggingface_hub import HfApi

    return HfApi()


def snapshot(name: str, revision: str | None, patterns: Sequence[str], kind: RepoType = "model") -> tuple[Path, str]:
    """Download some of a repository's files: their folder in the cache, and the commit. Raises HubError.

    A broken download is taken up again, and files are checked against their hashes by the client.
    """
    from huggingface_hub import snapshot_download

    with explained(f"{name}@{revision}" if revision else name):
        folder = Path(snapshot_download(name, revision=revision, repo_type=kind, allow_patterns=list(patterns)))
    return folder, folder.name  # the client's cache keeps a snapshot under its commit


def source_of(folder: Path) -> str | None:
    """`owner/name@commit` of a folder that `snapshot` returned; None for any other."""
    kind, *name = folder.parent.parent.name.split("--")
    is_snapshot = folder.parent.name == "snapshots" and kind in ("models", "datasets") and len(name) == 2
    return f"{'/'.join(name)}@{folder.name}" if is_snapshot else None


def dataset(name: str) -> Path:
    """The folder of a prepared dataset on the Hub, downloaded; a path stays as it is. Raises HubError."""
    if not is_name(name):
        return Path(name)
    found, revision = split_revision(name)
    return snapshot(found, revision, ["*.jsonl", "dataset_info.json"], "dataset")[0]


def gguf(model: str) -> tuple[Path, str | None]:
    """Download `owner/name[@revision]/file.gguf`: the file and its commit. A path stays as it is. Raises HubError."""
    found = None if Path(model).exists() else _GGUF.fullmatch(model)
    if not found:
        return Path(model), None
    name, revision = found["name"], (found["revision"] or "").removeprefix("@") or None
    folder, commit = snapshot(name, revision, [found["path"]])
    if not (folder / found["path"]).exists():
        raise HubError(f"{model}: no such file there")
    return folder / found["path"], commit


def file_of(name: str, path: str, revision: str | None = None) -> Path | None:
    """Download one file; None if the repository, the revision or the file does not exist. Raises HubError."""
    from huggingface_hub import errors, hf_hub_download

    with explained(name):
        try:
            return Path(hf_hub_download(name, path, revision=revision, repo_type=repo_type(name)))
        except errors.LocalEntryNotFoundError:
            raise
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError):
            return None


def head(name: str, revision: str = MAIN) -> str | None:
    """The commit that a branch stands at; None if there is no such repository or branch yet. Raises HubError."""
    from huggingface_hub import errors

    with explained(name):
        try:
            return api().repo_info(name, repo_type=repo_type(name), revision=revision).sha
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            if _status(error) == 401:
                raise
            return None


def tree(name: str, commit: str) -> dict[str, "RepoFile"]:
    """The files of a commit by their paths, without the Hub's own. Raises HubError."""
    from huggingface_hub.hf_api import RepoFile

    with explained(name):
        entries = list(api().list_repo_tree(name, repo_type=repo_type(name), revision=commit, recursive=True))
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile) and entry.path not in _KEPT}


def holds(entry: "RepoFile | None", content: Path | bytes) -> bool:
    """Whether a file of a `tree` has just this content."""
    if entry is None:
        return False
    data = content if isinstance(content, bytes) else content.read_bytes()
    if entry.lfs:
        return entry.lfs.sha256 == hashlib.sha256(data).hexdigest()
    return entry.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # git's


# --- Writing -------------------------------------------------------------------------------------------


def push(name: str, files: Mapping[str, Path | bytes], message: str, parent: str | None, branch: str = MAIN) -> str:
    """Make a branch hold these files and no others, in one commit on top of `parent`; returns the commit.

    All or nothing: the files are uploaded first, then one commit names them, and the Hub refuses it if the branch does
    not stand at `parent` any more. A repository or branch that is missing (`parent` is None) is made, and refused if
    somebody else was quicker. Raises HubError.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    check_unversioned(name)
    kind = repo_type(name)
    with explained(name):
        if parent is None:
            if branch == MAIN:
                api().create_repo(name, repo_type=kind)
            else:
                api().create_branch(name, repo_type=kind, branch=branch)
            parent = head(name, branch)
        operations = [CommitOperationAdd(path, content) for path, content in sorted(files.items())]
        operations += [CommitOperationDelete(path) for path in sorted(tree(name, parent).keys() - files.keys())]
        done = api().create_commit(
            name, operations, commit_message=message, repo_type=kind, revision=branch, parent_commit=parent
        )
    return done.oid


def roll_back(name: str, revision: str, message: str) -> str:
    """Make main hold again what it held at a revision, as a new commit on top; returns the commit. Raises HubError."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, hf_hub_download

    kind = repo_type(name)
    with explained(name):
        parent, target = (api().repo_info(name, repo_type=kind, revision=at).sha for at in (MAIN, revision))
        now, before = tree(name, parent), tree(name, target)
        operations = []
        for path, entry in sorted(before.items()):
            if path in now and now[path].blob_id == entry.blob_id:
                continue
            if entry.lfs:  # stays on the Hub's side
                operations.append(CommitOperationCopy(path, path, src_revision=target))
            else:
                content = Path(hf_hub_download(name, path, repo_type=kind, revision=target)).read_bytes()
                operations.append(CommitOperationAdd(path, content))
        operations += [CommitOperationDelete(path) for path in sorted(now.keys() - before.keys())]
        if not operations:
            raise HubError(f"{name}: main holds what it held at {revision}: nothing to do")
        done = api().create_commit(name, operations, commit_message=message, repo_type=kind, parent_commit=parent)
    return done.oid
