"""The one-file jobs: what they hold is what the project holds, and they run alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
JOBS = ("sft", "eval", "gguf")
HEADER = re.compile(r"^# /// script\n(?:#.*\n)*?# ///\n", re.MULTILINE)


def pieces(job: str) -> dict[str, str]:
    text = (ROOT / "jobs" / f"{job}.py").read_text("utf-8")
    found = re.split(r"^# ==== (\S+) ====\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_the_jobs_are_what_their_sources_make() -> None:
    done = subprocess.run([sys.executable, ROOT / "jobs" / "build.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("job", JOBS)
def test_a_job_holds_the_modules_as_they_are(job: str) -> None:
    found = pieces(job)
    assert {"__main__.py", "qmd.py", "reward.py", "dataset/schema.py", "evals/queries.txt"} <= found.keys()
    for name, text in found.items():
        source = ROOT / (f"jobs/sources/{job}_job.py" if name == "__main__.py" else name)
        original = HEADER.sub("", source.read_text("utf-8"))
        plain = text if name.endswith(".py") else re.sub("^#: ?", "", text, flags=re.MULTILINE)
        assert plain == original + "\n", name


@pytest.mark.parametrize("job", JOBS)
def test_a_job_has_one_header(job: str) -> None:
    # PEP 723 wants an error for a second one.
    assert len(HEADER.findall((ROOT / "jobs" / f"{job}.py").read_text("utf-8"))) == 1


def test_a_change_of_a_module_is_noticed(tmp_path: Path) -> None:
    copy = tmp_path / "project"
    ignored = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, ignored.split("\0")):
        if not name.startswith(("data/", "models/", "docs/", "tests/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, copy / "jobs" / "build.py"]
    assert subprocess.run([*build, "--check"]).returncode == 0
    with (copy / "qmd.py").open("a") as file:
        file.write("# changed\n")
    done = subprocess.run([*build, "--check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"build.py: jobs/{job}.py: is not what its sources make: just jobs" for job in JOBS
    ]
    assert subprocess.run(build, capture_output=True).returncode == 0
    assert subprocess.run([*build, "--check"]).returncode == 0


@pytest.mark.parametrize("job", JOBS)
def test_a_job_runs_from_its_file_alone(job: str, tmp_path: Path) -> None:
    alone = tmp_path / "somewhere.py"
    alone.write_bytes((ROOT / "jobs" / f"{job}.py").read_bytes())
    done = subprocess.run([sys.executable, alone, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"hf jobs uv run jobs/{job}.py" in done.stdout
    assert list(tmp_path.iterdir()) == [alone]
