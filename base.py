"""The base model and the hardware it runs on: what training and expanding load alike.

Heavy imports come inside the functions. Only safetensors and GGUF are read; code from a hub is never run.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

ROOT = Path(__file__).resolve().parent
PACKAGE = "package:"  # a base of this kind is a GGUF inside an installed Python package


class LoadError(RuntimeError):
    """A model that can't be loaded; says which, why, and what to do."""


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


def choose_hardware(device: str, dtype: str = "auto", attention: str = "auto") -> Hardware:
    """Resolve "auto": bfloat16 on a GPU that has it, float16 on older ones, float32 on CPU (bfloat16 is slower there).

    PyTorch's own scaled-dot-product attention everywhere: it needs no further package and picks its kernel itself.
    """
    import torch

    if dtype == "auto":
        modern = device == "cuda" and torch.cuda.is_bf16_supported()
        dtype = "bfloat16" if modern or device == "mps" else "float16" if device == "cuda" else "float32"
    return Hardware(device, dtype, "sdpa" if attention == "auto" else attention)


def _package_gguf(base: str) -> Path:
    package = base.removeprefix(PACKAGE)
    spec = find_spec(package.replace("-", "_"))
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise LoadError(f"{base}: no installed package {package} with a .gguf file; uv run installs it for the scripts")
    return files[0]


def base_folder(base: str) -> Path:
    """The folder of a `package:` base in safetensors, converted from its GGUF once and kept under outputs/base/."""
    gguf = _package_gguf(base)
    package = base.removeprefix(PACKAGE)
    folder = ROOT / "outputs" / "base" / f"{package}-{version(package)}"
    if (folder / "config.json").exists():
        return folder
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        with _no_progress():
            read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
        # The weights are dequantised, but transformers takes the model for a quantised one and refuses to save it.
        del read.config.quantization_config
        model = AutoModelForCausalLM.from_config(read.config, dtype="float32")
        model.load_state_dict(read.state_dict())
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
def _no_progress() -> Iterator[None]:
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
        with _no_progress():
            return AutoModelForCausalLM.from_pretrained(
                place, dtype=hardware.dtype, attn_implementation=hardware.attention, use_safetensors=True, **more
            )
    except (OSError, ValueError) as error:
        raise _explained(base, error) from None
