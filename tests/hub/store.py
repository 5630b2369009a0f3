"""Repositories and buckets as the Hub keeps them: files, commits, branches; nothing about HTTP.

    store = Store(folder)
    repo = store.create_repo("model", "tester/tiny", private=False, author="tester")
    repo.commit("main", {"summary": "first"}, [("file", {"path": "a.txt", "content": "aGk="})], author="tester")

Whoever holds a `Store` takes turns: nothing here locks.
"""

import base64
import hashlib
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .blobs import Blobs
from .refusal import Refusal

# What the Hub's own .gitattributes sends to LFS (an excerpt); and whatever is binary or as large as this.
LFS_SUFFIXES = (".arrow", ".bin", ".gguf", ".npz", ".parquet", ".pt", ".safetensors", ".zip")
LFS_SIZE = 10 * 1024 * 1024


def timestamp() -> str:
    """Now, as the Hub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def checked_path(path: str) -> str:
    """A path of a file within a repository or bucket. Refuses one that leads out of it."""
    if not path or any(part in ("", ".", "..") for part in path.split("/")):
        raise Refusal(400, f"Invalid path: {path!r}")
    return path


def git_oid(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """What stands in git in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


@dataclass(frozen=True)
class File:
    """A file at a commit."""

    sha256: str
    size: int
    oid: str  # git's: of the content, or of the pointer to it
    xet_hash: str | None  # of large files alone
    changed_by: str = ""  # id of the commit


@dataclass(frozen=True)
class Commit:
    """A state of a repository."""

    id: str
    parent: str | None
    files: dict[str, File]
    title: str
    message: str
    author: str
    date: str


@dataclass
class Holder:
    """What repositories and buckets have in common: contents that were uploaded to them, to be named afterwards."""

    id: str
    blobs: Blobs
    private: bool
    created: str = field(default_factory=timestamp)
    contents: set[str] = field(default_factory=set)  # sha256s
    upload_stores: list[Path] = field(default_factory=list)

    @property
    def owner(self) -> str:
        """The namespace."""
        return self.id.split("/")[0]

    def new_upload_store(self) -> Path:
        """A folder for hf_xet to upload to."""
        self.upload_stores.append(self.blobs.new_upload_store())
        return self.upload_stores[-1]

    def take_in_uploads(self) -> None:
        """Find out what has been uploaded over Xet."""
        for store in self.upload_stores:
            self.contents |= self.blobs.take_in(store)


@dataclass
class Repo(Holder):
    """A repository of models or a data set."""

    kind: str = "model"
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def at(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a commit's id stands for."""
        name = revision.removeprefix("refs/heads/")
        id = self.branches.get(name) or self.tags.get(name) or name
        if id not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[id]

    def history(self, revision: str) -> list[Commit]:
        """A commit and those before it, newest first."""
        commits = [self.at(revision)]
        while commits[-1].parent:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def small_file(self, content: bytes) -> File:
        """A file that git itself holds."""
        return File(self.blobs.add(content), len(content), git_oid(content), None)

    def large_file(self, sha256: str) -> File:
        """A file whose content was uploaded before the commit, over LFS or Xet, or is in the repository already."""
        if sha256 not in self.contents:
            self.take_in_uploads()
        if sha256 not in self.contents:
            raise Refusal(400, f"Your push was rejected: the LFS object {sha256} was not uploaded")
        size = self.blobs.path(sha256).stat().st_size
        return File(sha256, size, git_oid(lfs_pointer(sha256, size)), self.blobs.xet_hash(sha256))

    def commit(
        self, branch: str, header: dict[str, str], operations: list[tuple[str, dict[str, Any]]], author: str
    ) -> Commit:
        """Do all the operations, in order, or none of them. Refuses what the Hub refuses."""
        if branch not in self.branches:
            raise Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        parent = self.branches[branch]
        if header.get("parentCommit", parent) != parent:
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(self.commits[parent].files)
        for kind, value in operations:
            path = checked_path(value["path"].rstrip("/"))
            if kind == "file":
                files[path] = self.small_file(base64.b64decode(value["content"]))
            elif kind == "lfsFile":
                files[path] = self.large_file(value["oid"])
            elif kind == "deletedFile":
                if files.pop(path, None) is None:
                    raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            elif kind == "deletedFolder":
                files = {name: file for name, file in files.items() if not name.startswith(path + "/")}
            else:
                raise Refusal(400, f"Unknown operation: {kind}")
        return self.record(branch, files, header["summary"], header.get("description", ""), author)

    def record(self, branch: str, files: dict[str, File], title: str, message: str, author: str) -> Commit:
        """Make a commit of these files and move the branch to it; the files that are new get its id."""
        id = hashlib.sha1(uuid.uuid4().bytes).hexdigest()
        files = {path: file if file.changed_by else replace(file, changed_by=id) for path, file in files.items()}
        commit = Commit(id, self.branches.get(branch), files, title, message, author, timestamp())
        self.commits[id] = commit
        self.branches[branch] = id
        return commit


@dataclass(frozen=True)
class BucketFile:
    """A file in a bucket."""

    sha256: str
    size: int
    xet_hash: str
    modified: str
    uploaded: str = field(default_factory=timestamp)


@dataclass
class Bucket(Holder):
    """Files without a history."""

    files: dict[str, BucketFile] = field(default_factory=dict)

    def put(self, path: str, sha256: str, modified_ms: int | None = None) -> None:
        """Set a file to a content that is kept already."""
        modified = timestamp()
        if modified_ms is not None:
            modified = datetime.fromtimestamp(modified_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        size = self.blobs.path(sha256).stat().st_size
        self.files[checked_path(path)] = BucketFile(sha256, size, self.blobs.xet_hash(sha256), modified)
        self.contents.add(sha256)


class Store:
    """All repositories and buckets of a hub."""

    def __init__(self, root: Path):
        self.blobs = Blobs(root)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.buckets: dict[str, Bucket] = {}

    def create_repo(self, kind: str, id: str, private: bool, author: str) -> Repo:
        """A repository with its first commit, which holds .gitattributes as the Hub's does."""
        repo = Repo(id, self.blobs, private, kind=kind)
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        repo.record("main", {".gitattributes": repo.small_file(attributes.encode())}, "initial commit", "", author)
        self.repos[kind, id] = repo
        return repo
