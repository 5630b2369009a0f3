"""What a job keeps in its bucket, with the real client: it goes on in the next job, whatever ended this one."""

import signal
import subprocess
import sys
from pathlib import Path

from base import ADAPTER, COMPLETE
from cloud import BUCKET
from tests.conftest import ROOT

from .conftest import HubForTests

# What a job does around its work; `{work}` is done in its folder.
JOB = """
import os, signal, sys
from pathlib import Path
import cloud
folder = Path(sys.argv[1])
mirror = cloud.Mirror("tester", folder, float(sys.argv[2]))
mirror.down()
{work}
"""


def start(hub: HubForTests, folder: Path, work: str, minutes: float = 60) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-c", JOB.format(work=work), str(folder), str(minutes)]
    return subprocess.Popen(
        command, cwd=ROOT, env=hub.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(hub: HubForTests, folder: Path, work: str, minutes: float = 60) -> tuple[int, str]:
    process = start(hub, folder, work, minutes)
    said, _ = process.communicate()
    return process.returncode, said


def kept(hub: HubForTests) -> set[str]:
    """The files in the bucket."""
    return set(hub.store.buckets[f"tester/{BUCKET}"].files)


def test_the_next_job_finds_what_the_last_one_left(hub: HubForTests, tmp_path: Path) -> None:
    code, said = run(hub, tmp_path / "one" / "run", '(folder / "a.txt").write_text("left here")\nmirror.checkpoint(7)')
    assert (code, said) == (0, f"checkpoint of step 7 is in hf://buckets/tester/{BUCKET}/run\n")
    code, said = run(hub, tmp_path / "two" / "run", 'print((folder / "a.txt").read_text())')
    assert (code, said) == (0, "left here\n")
    assert hub.api().bucket_info(f"tester/{BUCKET}").private


def test_what_is_gone_from_the_folder_goes_from_the_bucket(hub: HubForTests, tmp_path: Path) -> None:
    work = """
(folder / "old").touch(); mirror.up()
(folder / "old").unlink(); (folder / "new").touch(); mirror.up()
"""
    assert run(hub, tmp_path / "run", work) == (0, "")
    assert kept(hub) == {"run/new"}


def test_a_copy_that_is_cut_off_leaves_the_former_checkpoint(hub: HubForTests, tmp_path: Path) -> None:
    make = """
for name in {names}:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(name)
"""
    first = ["checkpoint-1/weights", f"checkpoint-1/{COMPLETE}"]
    assert run(hub, tmp_path / "run", make.format(names=first) + "mirror.up()")[0] == 0
    # The first request brings what is new, the second one the marks and the deletions; that one never comes.
    hub.faults.add("drop", path="/batch", times=100, skip=1)
    second = ["checkpoint-2/weights", f"checkpoint-2/{COMPLETE}", ADAPTER]
    forget = "import shutil; shutil.rmtree(folder / 'checkpoint-1')"
    code, said = run(hub, tmp_path / "run", forget + make.format(names=second) + "mirror.checkpoint(2)")
    assert code == 0, said
    assert "what was done stays here for now: " in said
    assert kept(hub) == {f"run/{name}" for name in (*first, "checkpoint-2/weights")}


def test_work_goes_on_while_the_hub_is_out_of_reach(hub: HubForTests, tmp_path: Path) -> None:
    hub.faults.add("revoked", path="/batch")
    work = """
with mirror.kept():
    (folder / "a").touch(); mirror.checkpoint(1)
    print("went on")
"""
    code, said = run(hub, tmp_path / "run", work)
    assert code == 0, said
    assert "what was done stays here for now: " in said and "went on\n" in said
    assert hub.token not in said


def test_a_job_whose_time_is_over_keeps_its_work_and_ends(hub: HubForTests, tmp_path: Path) -> None:
    work = """
with mirror.kept():
    (folder / "half an evaluation").touch()
    signal.pause()
"""
    code, said = run(hub, tmp_path / "run", work, minutes=0.001)
    assert (code, said) == (1, "the time is over; the same command goes on from here\n")
    assert kept(hub) == {"run/half an evaluation"}


def test_a_job_that_is_killed_while_it_evaluates_loses_minutes_alone(hub: HubForTests, tmp_path: Path) -> None:
    work = """
cloud.EVERY = 0.01
with mirror.kept():
    (folder / "results").write_text("a row")
    while not any(file.path.endswith("results") for file in cloud.hub.api().list_bucket_tree(mirror.bucket, "run")):
        pass
    print("kept", flush=True)
    signal.pause()
"""
    process = start(hub, tmp_path / "one" / "run", work)
    assert process.stdout.readline() == "kept\n", process.stdout.read()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert run(hub, tmp_path / "two" / "run", 'print((folder / "results").read_text())') == (0, "a row\n")
