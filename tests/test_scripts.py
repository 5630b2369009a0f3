"""Every script runs by its own header, from anywhere."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import run_plain_uv

ROOT = Path(__file__).resolve().parent.parent
HEADER = re.compile(r"^# /// script\n((?:#.*\n)*?)# ///$", re.M)
SCRIPTS = [
    path.relative_to(ROOT)
    for path in sorted(ROOT.rglob("*.py"))
    if not {".venv", "outputs", "tests", "sources"} & set(path.relative_to(ROOT).parts)
    and HEADER.search(path.read_text("utf-8"))
]
# What a distribution is imported as, where the names differ.
IMPORT_NAMES = {
    "llama_cpp_python": {"llama_cpp"},
    "pyyaml": {"yaml"},
    "qmd_expansion": {"dataset", *(path.stem for path in ROOT.glob("*.py"))},
}

# Packages of functions that a script reaches but never calls; llama.cpp is fetched when a .gguf file is opened.
NEVER_CALLED = {
    "dataset/build_corpus.py": {"huggingface_hub"},  # of collection.py, which finds collections on the hub
    "eval.py": {"matplotlib"},  # of retrieval_results.py, which draws
    "experiments/best_of_n/best_of_n.py": {"scipy"},  # of evaluation.py's intervals
    "experiments/gepa/dspy_gepa.py": {"huggingface_hub", "peft", "torch", "transformers"},  # of base.py and expander.py
    "experiments/grpo/grpo.py": {"wordfreq"},  # of baselines.py
    "publish.py": {"matplotlib", "peft", "torch", "transformers"},  # of base.py, which it asks for a model's files
}


def header(script: Path) -> dict:
    found = HEADER.search((ROOT / script).read_text("utf-8"))
    return tomllib.loads(re.sub(r"^# ?", "", found.group(1), flags=re.M))


def imports(path: Path) -> set[str]:
    """The packages and modules that a file imports anywhere, without those of Python itself."""
    return {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
        + ([node.module] if isinstance(node, ast.ImportFrom) else [])
    } - sys.stdlib_module_names


def modules_reached(script: Path) -> set[Path]:
    """A script and the modules of this project that it imports, directly or through others."""
    names = {path.stem: path for path in ROOT.glob("*.py")}
    names |= {f"dataset.{path.stem}": path for path in (ROOT / "dataset").glob("*.py")}
    if script.parts[0] == "experiments":
        names |= {path.stem: path for path in (ROOT / script).parent.glob("*.py")}
    reached, left = set(), [ROOT / script]
    while left:
        path = left.pop()
        reached.add(path)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imported = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            left += {names[name] for name in imported if name in names} - reached
    return reached


def declared_by(script: Path) -> set[str]:
    """What a script's header lets it import."""
    declared = set()
    for requirement in header(script)["dependencies"]:
        name = re.match(r"[\w-]+", requirement).group().lower().replace("-", "_")
        declared |= IMPORT_NAMES.get(name, {name})
    return declared


def test_scripts_are_found() -> None:
    assert {"reward.py", "dataset/prepare_data.py"} <= {script.as_posix() for script in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_help_under_plain_uv_from_another_folder(script: Path, tmp_path: Path) -> None:
    done = run_plain_uv("--quiet", ROOT / script, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_header_pins_what_the_script_imports(script: Path) -> None:
    said = header(script)
    assert said["requires-python"] == ">=3.11"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", said["tool"]["uv"]["exclude-newer"])
    imported = imports(ROOT / script)
    # Python puts a script's own folder on the path: modules, and packages such as dataset/. A job carries them inside.
    folder = ROOT if script.parent == Path("jobs") else (ROOT / script).parent
    local = {path.stem for path in (*folder.glob("*.py"), *(path.parent for path in folder.glob("*/__init__.py")))}
    if script.parts[0] == "experiments":
        imported |= {name for module in imported & local for name in imports(folder / f"{module}.py")}
    assert imported - declared_by(script) - local == set(), "imported but not declared"


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script.parts[0] != "jobs"], ids=str)
def test_header_pins_what_the_modules_import_that_the_script_reaches(script: Path) -> None:
    reached = modules_reached(script)
    own = IMPORT_NAMES["qmd_expansion"] | {path.stem for path in reached}
    missing = {name for path in reached for name in imports(path)} - own - declared_by(script) - {"llama_cpp"}
    assert missing == NEVER_CALLED.get(script.as_posix(), set())


def test_exclude_newer_is_one_date() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]["exclude-newer"]
    assert {header(script)["tool"]["uv"]["exclude-newer"] for script in SCRIPTS} == {project}


def test_no_script_edits_the_import_path() -> None:
    for path in ROOT.rglob("*.py"):
        if ".venv" not in path.parts and path != Path(__file__).resolve():
            assert "sys.path." not in path.read_text("utf-8"), path
