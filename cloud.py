"""What a job in the cloud keeps outside its machine, so that the next one goes on: the run's folder, in a bucket.

A bucket is the Hub's storage for files that change: no commits, no history. A job mirrors its run's folder into it at
every checkpoint and after every stage, and a new job with the same recipe and data begins by taking it down again.
"""

from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

import hub
from callbacks import COMPLETE
from sft import ADAPTER

BUCKET = "qmd-query-expansion-runs"
LAST = (f"*/{COMPLETE}", ADAPTER)  # what says that the files beside it are whole


class Mirror:
    """A run's folder and its copy in the bucket of `owner`, under `name`."""

    def __init__(self, owner: str, name: str, folder: Path) -> None:
        self.bucket = f"{owner}/{BUCKET}"
        self.place = f"hf://buckets/{self.bucket}/{name}"
        self.folder = folder

    def down(self) -> None:
        """Fill the folder with what an earlier job left; an empty one stays empty. Raises HubError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            hub.api().create_bucket(self.bucket, private=True, exist_ok=True)
            hub.api().sync_bucket(self.place, str(self.folder), quiet=True)
        except hub.failures() as error:
            raise hub.explain(error, self.place) from None

    def up(self) -> None:
        """Make the copy what the folder is; a job that dies meanwhile leaves the former checkpoint. Raises HubError."""
        try:
            hub.api().sync_bucket(str(self.folder), self.place, exclude=list(LAST), quiet=True)
            hub.api().sync_bucket(str(self.folder), self.place, delete=True, quiet=True)
        except hub.failures() as error:
            raise hub.explain(error, self.place) from None


class MirrorCheckpoints(TrainerCallback):
    """Mirrors the run's folder whenever a checkpoint is on disk.

    The Hub being out of reach for a while costs progress only if the job then ends: training goes on.
    """

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Copy the checkpoint away."""
        if not state.is_world_process_zero:
            return
        try:
            self.mirror.up()
            print(f"checkpoint of step {state.global_step} is in {self.mirror.place}", flush=True)
        except hub.HubError as error:
            print(f"the checkpoint of step {state.global_step} stays here: {error}", flush=True)
