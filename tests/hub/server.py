"""The stand-in Hub itself: a server on this machine that real clients take for huggingface.co.

    with StandInHub(folder) as hub:
        HfApi(endpoint=hub.endpoint, token=hub.token).create_repo("tester/tiny")

huggingface_hub, datasets, transformers, PEFT and the `hf` command run against it as they are, with `HF_ENDPOINT` and
`HF_TOKEN` set. It refuses what the Hub refuses. A request for which nothing is written here is answered with 501 and
noted in `hub.problems`, as is a bug of the stand-in's own, so that no test passes on top of one.
"""

import socket
import threading
import uuid
from asyncio import Transport
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import bucket_routes, job_routes, repo_routes, upload_routes
from .call import Account, Call, Handler
from .faults import Fault, Faults
from .jobs import Jobs
from .refusal import Refusal
from .store import Repo, Store


class _Kind(Convertor[str]):
    """`models` or `datasets` in a path, as `model` or `dataset`."""

    regex = "models|datasets"

    def convert(self, value: str) -> str:
        return value.removesuffix("s")

    def to_string(self, value: str) -> str:
        return value + "s"


register_url_convertor("kind", _Kind())


class _Protocol(H11Protocol):
    """uvicorn's own, which tells each request of the connection it came by, so that it can be cut."""

    def connection_made(self, transport: Transport) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "connection": transport}


class StandInHub:
    """A Hub with one account at first, `user`, whose token may write; `root` is a folder for all it keeps.

    `page_size` is small so that listings come in pages; `kill_grace` is the seconds that a job has between being asked
    to end and being made to.
    """

    def __init__(self, root: Path, user: str = "tester", page_size: int = 50, kill_grace: float = 2):
        self.user = user
        self.page_size = page_size
        self.accounts: dict[str, Account] = {}  # by token
        self.token = self.add_token(user, "write")
        self.store = Store(root / "store")
        self.uploads: dict[str, tuple[Repo, str]] = {}  # which large file may be sent where, by ticket
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []  # method and path of every request, in order
        self.problems: list[str] = []
        self._lock = threading.RLock()
        self.jobs = Jobs(root / "jobs", self.store, self._lock, kill_grace)
        self._routes = [self._route(*route) for route in _ROUTES]
        # Listening from here on: who connects before the thread runs is answered a little later.
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self, http=_Protocol, ws="none", lifespan="off", log_config=None, access_log=False,
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> "StandInHub":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.jobs.stop()
        self._server.should_exit = True
        self._thread.join()

    def add_token(self, user: str, role: str) -> str:
        """A new token for a user, to "read" or to "write"."""
        token = f"hf_{uuid.uuid4().hex}"
        self.accounts[token] = Account(user, role)
        return token

    def revoke(self, token: str) -> None:
        """Let a token be refused from now on."""
        self.accounts.pop(token, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        # The path as it was sent: in the decoded one, a slash within a revision is like any other.
        scope["path"] = scope["raw_path"].decode("ascii")
        method, path = scope["method"], unquote(scope["path"])
        self.requests.append((method, path))
        fault = self.faults.take(method, path)
        if fault and fault.kind in ("drop", "drop after"):
            if fault.kind == "drop":
                await receive()
            else:
                await self._dispatch(scope, receive, _unsent)
            scope["state"]["connection"].abort()
            while (await receive())["type"] != "http.disconnect":
                pass
        elif fault and fault.kind != "revoked":
            await Request(scope, receive).body()
            await _failure(fault)(scope, receive, send)
        else:
            if fault:
                self.revoke(_token(Request(scope)) or "")
            await self._dispatch(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        for route in self._routes:
            match, parameters = route.matches(scope)
            if match is Match.FULL:
                scope.update(parameters)
                await route.handle(scope, receive, send)
                return
        self.problems.append(f"{scope['method']} {scope['path']}: nothing is written for it")
        await _refused(Refusal(501, "Not part of the stand-in Hub"))(scope, receive, send)

    def _route(self, method: str, path: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(self._answer, handler, request, await request.body())

        return Route(path, endpoint, methods=[method])

    def _answer(self, handler: Handler, request: Request, body: bytes) -> Response:
        try:
            with self._lock:  # one request at a time: what a commit checks stays true until it is made
                return handler(Call(self, request, body, self._account(request)))
        except Refusal as refusal:
            return _refused(refusal)
        except Exception as error:
            self.problems.append(f"{request.method} {request.url.path}: {type(error).__name__}: {error}")
            return _refused(Refusal(500, "A bug in the stand-in Hub"))

    def _account(self, request: Request) -> Account | None:
        token = _token(request)
        if token is None:
            return None
        if token not in self.accounts:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.accounts[token]


def _token(request: Request) -> str | None:
    header = request.headers.get("Authorization")
    return header.removeprefix("Bearer ") if header else None


def _refused(refusal: Refusal) -> Response:
    line = " ".join(refusal.message.split()).encode("ascii", "replace").decode()  # what a header can hold
    headers = {"X-Error-Message": line, "X-Request-Id": uuid.uuid4().hex, **refusal.headers}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return JSONResponse({"error": refusal.message}, refusal.status, headers)


def _failure(fault: Fault) -> Response:
    refusals = {
        "rate limit": Refusal(429, "Too many requests", headers={"Retry-After": str(fault.retry_after)}),
        "server error": Refusal(503, "Service unavailable"),
        "conflict": Refusal(412, "A commit has happened since. Please refresh and try again."),
        "not there": Refusal(404, "Repository not found", "RepoNotFound"),
    }
    return _refused(refusals[fault.kind])


async def _unsent(message: Message) -> None:
    """Take an answer and send nothing."""


def _agent_harnesses(call: Call) -> Response:
    """The tools that huggingface_hub would recognise itself to be run by: none."""
    return JSONResponse({})


def _telemetry(call: Call) -> Response:
    """What libraries tell the Hub about their use: heard, and not kept."""
    return Response()


_ROUTES: list[tuple[str, str, Any]] = [
    # Paths of jobs and buckets come first: nothing that is written for repositories may catch them.
    *job_routes.ROUTES,
    *bucket_routes.ROUTES,
    *repo_routes.ROUTES,
    *upload_routes.ROUTES,
    ("GET", "/api/agent-harnesses", _agent_harnesses),
    ("HEAD", "/api/telemetry/{topic:path}", _telemetry),
]
