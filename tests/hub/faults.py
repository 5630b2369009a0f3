"""Failing on demand: what the hub does to a request in place of answering it.

    hub.faults.add("rate limit", method="POST", path="/preupload/")
    ...
    assert not hub.faults.waiting

    rate limit     429 with Retry-After
    server error   503
    conflict       412, as if somebody else had committed in between
    not there      404, as before somebody else made the repository
    revoked        the token of the request is refused from now on, this request included
    drop           the connection is closed when part of the body has been read, and nothing is done
    drop after     what was asked is done, then the connection is closed without an answer

Bytes that travel over Xet go past the hub (blobs.py says how), so only the request for a Xet token can fail.
"""

import re
from dataclasses import dataclass

KINDS = ("rate limit", "server error", "conflict", "not there", "revoked", "drop", "drop after")


@dataclass
class Fault:
    """What happens to the next requests of a method whose path holds a pattern."""

    kind: str
    method: str | None
    path: re.Pattern[str]
    times: int
    retry_after: int
    skip: int


class Faults:
    """The faults that wait for their request."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def add(
        self,
        kind: str,
        *,
        method: str | None = None,
        path: str = "",
        times: int = 1,
        retry_after: int = 0,
        skip: int = 0,
    ) -> None:
        """Let `times` requests fail, those after the next `skip`; `path` is a regular expression, searched for."""
        if kind not in KINDS:
            raise ValueError(f"no such fault: {kind!r}; there are {', '.join(KINDS)}")
        self.waiting.append(Fault(kind, method, re.compile(path), times, retry_after, skip))

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that is meant for this request, if any; it counts as one of its times."""
        for fault in self.waiting:
            if fault.method in (None, method) and fault.path.search(path):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if not fault.times:
                    self.waiting.remove(fault)
                return fault
        return None
