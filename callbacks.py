"""What happens beside the training steps: progress, metrics, checkpoints by the clock, a clean stop."""

import json
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from base import COMPLETE
from dataset.files import rows_so_far, write_whole


def usable_checkpoint(output: Path) -> Path | None:
    """The latest checkpoint that was wholly written. Removes those that a kill cut short."""
    found: dict[int, Path] = {}
    for folder in output.glob("checkpoint-*"):
        if (folder / COMPLETE).exists():
            found[int(folder.name.rsplit("-", 1)[1])] = folder
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return found[max(found)] if found else None


def _any_process(asked: bool) -> bool:
    """Whether any process of the run asks for it: all have to save or stop at the same step, or they wait for ever."""
    if not torch.distributed.is_initialized():
        return asked
    flag = torch.tensor(int(asked), device="cuda" if torch.distributed.get_backend() == "nccl" else "cpu")
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag)


class ClockCheckpoints(TrainerCallback):
    """Saves every so many minutes, and marks a checkpoint when all of it is on disk."""

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.last = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Ask for a checkpoint when the interval is over."""
        if _any_process(time.monotonic() - self.last >= self.seconds):
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Mark the new checkpoint and drop the older ones."""
        self.last = time.monotonic()
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / COMPLETE).touch()
        for older in Path(args.output_dir).glob("checkpoint-*"):
            if older != folder:
                shutil.rmtree(older, ignore_errors=True)


class WhenSaved(TrainerCallback):
    """Does something whenever a checkpoint is on disk, such as copying it away."""

    def __init__(self, action: Callable[[int], None]) -> None:
        self.action = action

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Call the action with the step."""
        if state.is_world_process_zero:
            self.action(state.global_step)


class CleanStop(TrainerCallback):
    """Turns SIGTERM, Ctrl-C and the end of `minutes` into a checkpoint and an end of training.

    A second signal ends at once.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self.asked = False
        self.end = math.inf if minutes is None else time.monotonic() + 60 * minutes
        self.former = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            self.restore()
            signal.raise_signal(number)
        self.asked = True
        print("\nstopping after this step; its checkpoint is kept", file=sys.stderr)

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self.former.items():
            signal.signal(number, handler)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Save and stop once asked to, or when the time is over; a run that ends with this step is finished."""
        self.asked = _any_process(self.asked or time.monotonic() >= self.end) and state.global_step < state.max_steps
        if self.asked:
            control.should_save = True
            control.should_training_stop = True


class Metrics(TrainerCallback):
    """Appends what is logged, and how long the step took, to metrics.jsonl.

    A resumed run first drops the lines after its checkpoint, so the sums over the file are those of the whole run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun = time.monotonic()

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Start the clock."""
        self.begun = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Keep the steps that the checkpoint has seen."""
        if not state.is_world_process_zero:
            return
        keep_until(self.path, state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Write one line."""
        if state.is_world_process_zero and logs:
            row = {"step": state.global_step, **logs}
            if "loss" in logs:
                row["seconds"] = round(time.monotonic() - self.begun, 3)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def keep_until(path: Path, step: int) -> list[dict[str, Any]]:
    """Cut a metrics.jsonl back to what a checkpoint of `step` has seen, and return that."""
    kept = [row for row in rows_so_far(path) if row["step"] <= step]
    write_whole(path, "".join(json.dumps(row) + "\n" for row in kept))
    return kept


class Progress(TrainerCallback):
    """A line on a terminal: steps, loss, learning rate, tokens a second, time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        self.bar = Bar(
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self.started = 0.0
        self.tokens = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Open the line."""
        self.started = time.monotonic()
        self.bar.start()
        self.task = self.bar.add_task("", total=state.max_steps, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Say where training stands."""
        if not logs or "loss" not in logs:
            return
        self.tokens += int(logs.get("trained_tokens", 0))
        rate = self.tokens / (time.monotonic() - self.started)
        said = f"loss {logs['loss']:.3f}  lr {logs.get('learning_rate', 0):.1e}  {rate:,.0f} trained tokens/s"
        self.bar.update(self.task, completed=state.global_step, description=said)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Close the line."""
        self.bar.stop()
