"""One request, as the routes see it: who asks, for what, and whether they may; and the shapes of answers."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .refusal import Refusal
from .store import Bucket, Holder, Repo

if TYPE_CHECKING:
    from .server import StandInHub

Handler = Callable[["Call"], Response]


@dataclass(frozen=True)
class Account:
    """Whom a token stands for and what it may do: "read" or "write"."""

    user: str
    role: str


@dataclass(frozen=True)
class Call:
    """A request with its body, and the account of its token."""

    hub: "StandInHub"
    request: Request
    body: bytes
    account: Account | None

    def __getitem__(self, name: str) -> str:
        """A part of the path. The path is matched as it was sent, so that `%2F` in a revision or a name is no `/`."""
        return unquote(self.request.path_params[name])

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def json_lines(self) -> list[Any]:
        """The body, of one object a line."""
        return [json.loads(line) for line in self.body.splitlines()]

    def flag(self, name: str) -> bool:
        """Whether the query sets a flag."""
        return self.request.query_params.get(name, "").lower() in ("1", "true")

    def signed_in(self) -> Account:
        """Who asks. Refuses a request without a token."""
        if not self.account:
            raise Refusal(401, "Invalid username or password.")
        return self.account

    def writer_in(self, namespace: str) -> Account:
        """Who asks, if they may write in a namespace."""
        account = self.signed_in()
        if account.user != namespace:
            raise Refusal(403, f"You don't have the rights to write under the namespace {namespace!r}")
        if account.role != "write":
            raise Refusal(403, "This token has no permission to write")
        return account

    def _found(self, holder: Holder | None, write: bool) -> Any:
        """A repository or bucket that this account may see, or write to. The Hub doesn't tell hidden from missing."""
        user = self.account and self.account.user
        if holder is None or (holder.private and user != holder.owner):
            if not self.account:
                raise Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if write:
            self.writer_in(holder.owner)
        return holder

    def repo_of(self, kind: str, id: str, *, write: bool = False) -> Repo:
        """The repository of an id."""
        repo: Repo = self._found(self.hub.store.repos.get((kind, id)), write)
        return repo

    def repo(self, *, write: bool = False) -> Repo:
        """The repository that the path names; outside /api, a path without a kind is a model's."""
        kind = self.request.path_params.get("kind", "model")
        return self.repo_of(kind, f"{self['owner']}/{self['name']}", write=write)

    def bucket_of(self, id: str, *, write: bool = False) -> Bucket:
        """The bucket of an id."""
        bucket: Bucket = self._found(self.hub.store.buckets.get(id), write)
        return bucket

    def bucket(self, *, write: bool = False) -> Bucket:
        """The bucket that the path names."""
        return self.bucket_of(f"{self['owner']}/{self['name']}", write=write)

    def page(self, entries: Sequence[Any]) -> Response:
        """A page of a listing, with a link to the next one, as far as there is one."""
        start = int(self.request.query_params.get("cursor", 0))
        end = start + self.hub.page_size
        headers = {}
        if end < len(entries):
            headers["Link"] = f'<{self.request.url.include_query_params(cursor=end)}>; rel="next"'
        return JSONResponse(entries[start:end], headers=headers)

    def xet_token(self, store: Path) -> Response:
        """Leave to use a folder as Xet storage."""
        address, expires = f"local://{store}", int(time.time()) + 3600
        headers = {
            "X-Xet-Cas-Url": address,
            "X-Xet-Access-Token": "unused",
            "X-Xet-Token-Expiration": str(expires),
        }
        return JSONResponse({"casUrl": address, "accessToken": "unused", "exp": expires}, headers=headers)
