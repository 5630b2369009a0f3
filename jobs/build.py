# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# ///
"""Put each job together in one file: HF Jobs receives nothing but the script.

    uv run jobs/build.py            # writes jobs/sft.py, jobs/eval.py and jobs/gguf.py
    uv run jobs/build.py --check    # code 1 if one of them is not what its sources make

A job is written in jobs/sources/. Its file here holds that source, all of the project's modules that it reaches, as
they are but for their headers, one after another, and the files that these read. A few lines at the top write all of it
into a folder and run that.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "jobs" / "sources"
# What the modules read beside themselves.
CARDS = ["templates/model_card.md.jinja", "templates/dataset_card.md.jinja"]
NOTES = ["evals/notes/corpus.jsonl", "evals/notes/queries.jsonl", "evals/notes/qrels.tsv"]
FILES = {
    "sft": ["configs/sft.yaml", "evals/queries.txt", *CARDS, *NOTES],
    "eval": ["evals/queries.txt"],
    "gguf": ["evals/queries.txt", *CARDS, *NOTES],
}
HEADER = re.compile(r"^# /// script\n(?:#.*\n)*?# ///\n", re.MULTILINE)
TITLE = "# ==== {} ===="
LOADER = """\
# Put together by jobs/build.py from {source} (__main__.py below), the modules that it imports and the
# files that they read: change those, and run `just jobs`. Each stands below under its name; no Python, behind `#:`.

import re
import runpy
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    pieces = re.split(r"^# ==== (\\S+) ====\\n", Path(__file__).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    with tempfile.TemporaryDirectory(prefix="job-") as folder:
        for name, text in zip(pieces[::2], pieces[1::2], strict=True):
            place = Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            plain = text if name.endswith(".py") else re.sub(r"^#: ?", "", text, flags=re.MULTILINE)
            place.write_text(plain.removesuffix("\\n"), encoding="utf-8")
        runpy.run_path(folder, run_name="__main__")
        sys.exit()

"""


def module_file(name: str) -> Path | None:
    """The project's file of a module's dotted name; None if the module is not of this project."""
    places = (ROOT / f"{name.replace('.', '/')}.py", ROOT / name.replace(".", "/") / "__init__.py")
    return next((place for place in places if place.is_file()), None)


def imported(path: Path) -> set[Path]:
    """The project's files that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {file for name in names if (file := module_file(name))}


def reached(source: Path) -> list[Path]:
    """All of the project's files that a job needs, by name."""
    found: set[Path] = set()
    open_files = [source]
    while open_files:
        new = imported(open_files.pop()) - found
        found |= new
        open_files += new
        open_files += [init for path in new if (init := path.parent / "__init__.py").is_file() and init not in found]
        found |= {init for path in new if (init := path.parent / "__init__.py").is_file()}
    return sorted(found)


def section(name: str, text: str) -> str:
    """One file under its title, without a header of its own; lines that are no Python are commented."""
    text = HEADER.sub("", text)
    if not name.endswith(".py"):
        text = "".join(f"#: {line}".rstrip() + "\n" for line in text.splitlines())
    if re.search(r"^# ==== \S+ ====$", text, re.MULTILINE):
        raise SystemExit(f"build.py: {name}: holds a line that looks like a title")
    return f"{TITLE.format(name)}\n{text}\n"


def build(job: str) -> str:
    """The text of one job's file."""
    source = SOURCES / f"{job}_job.py"
    text = source.read_text(encoding="utf-8")
    header = HEADER.search(text)
    docstring = ast.get_docstring(ast.parse(text), clean=False)
    if not header or not docstring:
        raise SystemExit(f"build.py: {source}: wants a header and a docstring")
    parts = [section("__main__.py", text)]
    parts += [section(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in reached(source)]
    parts += [section(name, (ROOT / name).read_text(encoding="utf-8")) for name in FILES[job]]
    loader = LOADER.format(source=source.relative_to(ROOT).as_posix())
    return f'{header.group()}"""{docstring}"""\n\n{loader}' + "".join(parts)


def main() -> int:
    """Write the jobs, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; code 1 if a job is out of date")
    args = parser.parse_args()
    stale = 0
    for job in FILES:
        place, text = ROOT / "jobs" / f"{job}.py", build(job)
        if place.exists() and place.read_text(encoding="utf-8") == text:
            continue
        if args.check:
            print(f"build.py: {place.relative_to(ROOT)}: is not what its sources make: just jobs", file=sys.stderr)
            stale += 1
        else:
            place.write_text(text, encoding="utf-8")
            print(f"{place.relative_to(ROOT)}: {len(text.splitlines()):,} lines")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
