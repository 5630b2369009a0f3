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
    declared = set()
    for requirement in said["dependencies"]:
        name = re.match(r"[\w-]+", requirement).group().lower().replace("-", "_")
        declared |= IMPORT_NAMES.get(name, {name})
    imported = imports(ROOT / script)
    # Python puts a script's own folder on the path: modules, and packages such as dataset/. A job carries them inside.
    folder = ROOT if script.parent == Path("jobs") else (ROOT / script).parent
    local = {path.stem for path in (*folder.glob("*.py"), *(path.parent for path in folder.glob("*/__init__.py")))}
    if script.parts[0] == "experiments":
        imported |= {name for module in imported & local for name in imports(folder / f"{module}.py")}
    assert imported - declared - local == set(), "imported but not declared"


def test_exclude_newer_is_one_date() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]["exclude-newer"]
    assert {header(script)["tool"]["uv"]["exclude-newer"] for script in SCRIPTS} == {project}


def test_no_script_edits_the_import_path() -> None:
    for path in ROOT.rglob("*.py"):
        if ".venv" not in path.parts and path != Path(__file__).resolve():
            assert "sys.path." not in path.read_text("utf-8"), path
