"""Jobs, really executed: each is a process of its own, in an empty folder, with nothing but what it declares.

    jobs = Jobs(folder, store, lock, kill_grace=2)
    job = jobs.submit("tester", {"command": ["uv", "run", "/data/script.py"], ...}, endpoint)
    for line in job.follow(): ...

No container holds a job: a volume is a folder beside the job's own, and where a command or an environment variable
names the path it should be mounted at, that path is replaced by the folder's. A script that has the path in its own
text doesn't find it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import IO, Any

from .store import Store, timestamp

DEFAULT_TIMEOUT = 30 * 60  # seconds, the Hub's
KEEP_ALIVE = 15  # seconds until a stream with nothing to say shows that it lives

# What of the surroundings uv needs to reach the same index in the same way as here.
_UV_SETTINGS = (
    "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX", "UV_INDEX_STRATEGY", "UV_FIND_LINKS",
    "UV_LINK_MODE", "UV_OFFLINE", "UV_HTTP_TIMEOUT", "UV_NATIVE_TLS", "PIP_INDEX_URL", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


@cache
def uv_environment() -> dict[str, str]:
    """The environment in which a job finds uv, uv's cache, its index and its Pythons, and nothing of this project."""
    if not shutil.which("uv"):
        raise RuntimeError("jobs are run by uv: it has to be on the PATH")
    # What is called uv on the PATH may be a script that sets more variables and then starts the real one.
    ask = ["uv", "run", "--no-project", "python", "-c", "import os; print(os.environ['UV'])"]
    uv = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    here = Path(sys.prefix, "bin")
    path = [str(Path(uv).parent), *(entry for entry in os.environ["PATH"].split(os.pathsep) if Path(entry) != here)]
    environment = {name: os.environ[name] for name in _UV_SETTINGS if name in os.environ}
    for name, command in (("UV_CACHE_DIR", ["cache", "dir"]), ("UV_PYTHON_INSTALL_DIR", ["python", "dir"])):
        environment[name] = subprocess.run([uv, *command], capture_output=True, text=True, check=True).stdout.strip()
    settings = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"), "uv", "uv.toml")
    if settings.is_file():
        environment["UV_CONFIG_FILE"] = str(settings)
    return environment | {"PATH": os.pathsep.join(path)}


def end_group(process: subprocess.Popen[str], grace: float) -> None:
    """End a process and all that it started: ask first, and insist after a grace."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@dataclass
class Job:
    """A job as it was asked for, and how far it is."""

    owner: str
    spec: dict[str, Any]
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:24])
    created: str = field(default_factory=timestamp)
    started: str | None = None
    finished: str | None = None
    stage: str = "SCHEDULING"
    message: str | None = None
    log: list[dict[str, str]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    expired: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def info(self) -> dict[str, Any]:
        """What the Hub tells about a job: of its secrets only the names."""
        kept = ("dockerImage", "spaceId", "command", "arguments", "environment", "flavor", "labels", "volumes")
        return {name: self.spec.get(name) for name in kept} | {
            "id": self.id,
            "createdAt": self.created,
            "startedAt": self.started,
            "finishedAt": self.finished,
            "secrets": dict.fromkeys(self.spec.get("secrets", {})),
            "timeout": self.timeout,
            "status": {"stage": self.stage, "message": self.message},
            "durations": {
                "schedulingSecs": self._seconds(self.created, self.started),
                "runningSecs": self._seconds(self.started, self.finished or timestamp()),
                "totalSecs": self._seconds(self.created, self.finished or timestamp()),
            },
            "owner": {"id": self.owner, "name": self.owner, "type": "user"},
            "initiator": {"id": self.owner, "name": self.owner, "type": "user"},
        }

    @property
    def timeout(self) -> float:
        """Seconds after which it is ended."""
        return self.spec.get("timeoutSeconds") or DEFAULT_TIMEOUT

    @staticmethod
    def _seconds(start: str | None, end: str | None) -> int | None:
        if not start or not end:
            return None
        return int((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())

    def say(self, text: str) -> None:
        """Add a line to the log."""
        with self.changed:
            self.log.append({"data": text, "timestamp": timestamp()})
            self.changed.notify_all()

    def read(self, output: IO[str]) -> None:
        """Add lines to the log as a process writes them."""
        for line in output:
            self.say(line.rstrip("\n"))

    def settle(self, stage: str, message: str | None, finished: bool) -> None:
        """Note how the job ends; what was noted first holds."""
        with self.changed:
            if self.stage in ("SCHEDULING", "RUNNING"):
                self.stage, self.message = stage, message
            if finished:
                self.finished = timestamp()
            self.changed.notify_all()

    def follow(self, tail: int | None = None) -> Iterator[dict[str, str] | None]:
        """The log, from its last `tail` lines on, until the job has ended; None where nothing came for a while."""
        at = 0 if tail is None else max(0, len(self.log) - tail)
        while True:
            with self.changed:
                self.changed.wait_for(lambda at=at: len(self.log) > at or self.finished, KEEP_ALIVE)
                fresh, finished = self.log[at:], self.finished
            yield from fresh or [None]
            at += len(fresh)
            if finished:
                return


class Jobs:
    """All jobs of a hub. `lock` is held where the store is touched."""

    def __init__(self, root: Path, store: Store, lock: AbstractContextManager[Any], kill_grace: float):
        self._root = root
        self._store = store
        self._lock = lock
        self.kill_grace = kill_grace
        self.uv: dict[str, str] = {}  # more settings of uv's
        self._threads: list[threading.Thread] = []
        self.all: dict[str, Job] = {}

    def submit(self, owner: str, spec: dict[str, Any], endpoint: str) -> Job:
        """Start a job; it runs on in a thread."""
        job = Job(owner, spec)
        self.all[job.id] = job
        thread = threading.Thread(target=self._run, args=(job, endpoint), daemon=True)
        self._threads.append(thread)
        thread.start()
        return job

    def cancel(self, job: Job) -> None:
        """End a job before its time."""
        job.settle("CANCELED", None, finished=False)
        with job.changed:
            process = job.process
        if process:
            threading.Thread(target=end_group, args=(process, self.kill_grace), daemon=True).start()

    def expire(self, job: Job) -> None:
        """End a running job as its time-out would, for a test that knows the moment and not the time."""
        job.expired = True
        end_group(job.process, self.kill_grace)

    def stop(self) -> None:
        """Cancel all that still run and wait for them."""
        for job in self.all.values():
            self.cancel(job)
        for thread in self._threads:
            thread.join()

    def _run(self, job: Job, endpoint: str) -> None:
        folder = self._root / job.id
        try:
            mounts = self._mount(job, folder)
            stage, message = self._execute(job, endpoint, folder, mounts)
            self._store_volumes(job, mounts)
        except Exception as error:  # whatever it is, those who wait for the job have to learn that it has ended
            job.say(f"{type(error).__name__}: {error}")
            stage, message = "ERROR", str(error)
        job.settle(stage, message, finished=True)

    def _execute(self, job: Job, endpoint: str, folder: Path, mounts: dict[str, Path]) -> tuple[str, str | None]:
        """Run the process and return the stage and message in which that ends."""
        home, work = folder / "home", folder / "work"
        home.mkdir(parents=True)
        work.mkdir()
        declared = {**job.spec.get("environment", {}), **job.spec.get("secrets", {})}
        environment = uv_environment() | self.uv | {"HOME": str(home), "HF_ENDPOINT": endpoint, "JOB_ID": job.id}
        environment |= {name: with_mounts(str(value), mounts) for name, value in declared.items()}
        command = [with_mounts(word, mounts) for word in [*job.spec["command"], *job.spec.get("arguments", [])]]
        with job.changed:
            if job.stage != "SCHEDULING":
                return job.stage, job.message
            process = subprocess.Popen(
                command, cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", start_new_session=True,
            )  # fmt: skip
            job.process, job.stage, job.started = process, "RUNNING", timestamp()
        job.say(f"===== Job started at {job.started} =====")
        reader = threading.Thread(target=job.read, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            process.wait(job.timeout)
        except subprocess.TimeoutExpired:
            job.expired = True
        end_group(process, self.kill_grace)
        code = process.wait()
        reader.join()
        if job.expired:
            return "ERROR", "Job timeout"
        return ("ERROR", f"Job failed with exit code: {code}") if code else ("COMPLETED", None)

    def _mount(self, job: Job, folder: Path) -> dict[str, Path]:
        """Lay out the volumes as folders, by the path that they should be mounted at."""
        mounts = {}
        for volume in job.spec.get("volumes") or []:
            mount = folder / "volumes" / volume["mountPath"].strip("/")
            mount.mkdir(parents=True)
            with self._lock:
                for path, sha256 in self._contents(volume).items():
                    file = mount / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self._store.blobs.path(sha256), file)
            mounts[volume["mountPath"]] = mount
        return mounts

    def _contents(self, volume: dict[str, Any]) -> dict[str, str]:
        """The files of a volume: paths within it, and their sha256s."""
        if volume["type"] == "bucket":
            files = self._store.buckets[volume["source"]].files
        else:
            files = self._store.repos[volume["type"], volume["source"]].at(volume.get("revision") or "main").files
        start = _prefix(volume)
        return {path[len(start) :]: file.sha256 for path, file in files.items() if path.startswith(start)}

    def _store_volumes(self, job: Job, mounts: dict[str, Path]) -> None:
        """Bring what the job did to its writable volumes back into their buckets."""
        for volume in job.spec.get("volumes") or []:
            if volume["type"] != "bucket" or volume.get("readOnly"):
                continue
            mount = mounts[volume["mountPath"]]
            with self._lock:
                bucket, before = self._store.buckets[volume["source"]], self._contents(volume)
                after = {str(file.relative_to(mount)): file for file in mount.rglob("*") if file.is_file()}
                for path in before.keys() - after.keys():
                    del bucket.files[_prefix(volume) + path]
                for path, file in after.items():
                    sha256 = self._store.blobs.add(file.read_bytes())
                    if before.get(path) != sha256:
                        bucket.put(_prefix(volume) + path, sha256)


def _prefix(volume: dict[str, Any]) -> str:
    path = (volume.get("path") or "").strip("/")
    return path + "/" if path else ""


def with_mounts(text: str, mounts: dict[str, Path]) -> str:
    """Put the folders of mounts in place of their paths, where a path stands alone or after `=` or `:`."""
    for path, folder in mounts.items():
        text = re.sub(rf"(^|[=:]){re.escape(path)}(?=/|:|$)", lambda match, to=folder: f"{match[1]}{to}", text)
    return text
