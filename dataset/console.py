"""How the commands talk to people: progress on stderr, tables on stdout, one line for what went wrong."""

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")


def console_for_tables() -> "Console":
    """Standard output for tables: as wide as the terminal, or wide enough for all columns in a file or a pipe.

    What stands in the data is shown as it is, square brackets included.
    """
    from rich.console import Console

    class Tables(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # `run` knows what to do; rich would end with code 1

    return Tables(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)


def tracked(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Pass items on while a line on stderr shows how many, how fast, how long still; silent in a file or a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} a second" if task.speed else "")

    console = Console(stderr=True)
    left = TimeRemainingColumn(elapsed_when_finished=True)
    columns = (TextColumn(f"{what}: {{task.completed:,}}"), BarColumn(), Rate(), left)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield from progress.track(items, total=total)


def run(main: Callable[[], int]) -> None:
    """Run a command's `main` and exit with its code; a closed pipe, Ctrl-C and a full disk end it without traceback."""
    # What libraries announce to each other's developers is none of the user's business.
    warnings.simplefilter("ignore", FutureWarning)
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        code = main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        code = 130
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"{named}{error.strerror}", file=sys.stderr)
        code = 2
    sys.exit(code)
