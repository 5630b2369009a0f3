"""What a job in the cloud keeps outside its machine, so that the next one goes on: its folder, in a bucket.

A bucket is the Hub's storage for files that change: no commits, no history. A job mirrors its folder into it at every
checkpoint, every few minutes and at its end, and a new job for the same thing begins by taking it down again.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import base
import hub

BUCKET = "qmd-query-expansion-runs"
LAST = (f"*/{base.COMPLETE}", base.ADAPTER)  # what says that the files beside it are whole
EVERY = 180  # seconds


class Mirror:
    """A job's folder and its copy in the bucket of `owner`, under the folder's name; without an owner there is none.

    `minutes` is the job's time. When it is over the job ends itself, its work kept, with exit code 1.
    """

    def __init__(self, owner: str | None, folder: Path, minutes: float) -> None:
        self.bucket = f"{owner}/{BUCKET}" if owner else None
        self.place = f"hf://buckets/{self.bucket}/{folder.name}"
        self.folder = folder
        self.end = time.monotonic() + 60 * minutes
        self._one_at_a_time = threading.Lock()

    def minutes_left(self) -> float:
        """Of the job's time."""
        return max(0.0, (self.end - time.monotonic()) / 60)

    def down(self) -> None:
        """Fill the folder with what an earlier job left; an empty one stays empty. Raises HubError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.bucket:
            with hub.explained(self.place):
                hub.api().create_bucket(self.bucket, private=True, exist_ok=True)
                hub.api().sync_bucket(self.place, str(self.folder), quiet=True)

    def up(self) -> None:
        """Make the copy what the folder is. Whoever dies meanwhile leaves the former checkpoint. Raises HubError."""
        if self.bucket:
            with self._one_at_a_time, hub.explained(self.place):
                hub.api().sync_bucket(str(self.folder), self.place, exclude=list(LAST), quiet=True)
                hub.api().sync_bucket(str(self.folder), self.place, delete=True, quiet=True)

    def try_up(self) -> bool:
        """`up`, or a line that says why not: the Hub being out of reach for a while should not end a job."""
        try:
            self.up()
        except hub.HubError as error:
            print(f"what was done stays here for now: {error}", flush=True)
            return False
        return True

    def checkpoint(self, step: int) -> None:
        """Copy a checkpoint away, and say so."""
        if self.try_up() and self.bucket:
            print(f"checkpoint of step {step} is in {self.place}", flush=True)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Mirror every few minutes while the work inside goes on, and end the job when its time is over."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(min(EVERY, 60 * self.minutes_left())):
                self.try_up()
                if not self.minutes_left():
                    print("the time is over; the same command goes on from here", flush=True)
                    os._exit(1)

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        self.try_up()
