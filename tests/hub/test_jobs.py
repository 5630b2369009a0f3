"""Jobs on the stand-in Hub: submitted with the real client and the real `hf` command, and really executed.

A job that is to wait reads from a named pipe, which the test writes to or never does: nothing here waits for a time.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, Volume
from huggingface_hub.errors import HfHubHTTPError, JobNotFoundError

from .conftest import HubForTests
from .test_hub import run_hf

pytestmark = pytest.mark.filterwarnings("ignore:.*run_uv_job' is experimental")

HEADER = '# /// script\n# requires-python = ">=3.11"\n# dependencies = []\n# ///\n'
SECRET = "a-secret-value"

SHOW_ALL = """
import json, os, sys
print(json.dumps({"environment": dict(os.environ), "folder": os.listdir(), "arguments": sys.argv[1:]}))
"""
WAIT = """
import os
print("ready", flush=True)
with open(os.environ["GATE"]) as gate:
    print(gate.read())
"""
WAIT_STUBBORNLY = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAIT


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The named pipe that a job waits at."""
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Where a test writes its script."""
    return tmp_path / "job.py"


def started(api: HfApi, script: Path, text: str, gate: Path, **options) -> tuple[str, Iterator[str]]:
    """A job that has printed "ready" and waits; its id and the rest of its log."""
    script.write_text(HEADER + text)
    job = api.run_uv_job(str(script), env={"GATE": str(gate)}, namespace="tester", **options)
    log = api.fetch_job_logs(job_id=job.id, namespace="tester", follow=True)
    assert next(log) == "ready"
    return job.id, log


def ended(api: HfApi, id: str) -> tuple[str, str | None]:
    """Stage and message of a job when it has ended."""
    status = api.wait_for_job(job_id=id, namespace="tester", timeout=60, poll_interval=0.1).status
    return status.stage, status.message


def test_a_job_has_what_it_declares_and_nothing_else(
    hub: HubForTests, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("UNDECLARED", "1")  # in the server's process
    config = tmp_path / "config.yaml"
    config.write_text("steps: 1\n")
    script.write_text(HEADER + SHOW_ALL)
    options = ["--env", "GREETING=hello", "--secrets", "API_KEY", "--timeout", "5m"]
    output = run_hf(hub, "jobs", "uv", "run", *options, str(script), str(config), API_KEY=SECRET, ALSO_UNDECLARED="1")
    (line,) = [line for line in output.splitlines() if line.startswith('{"environment"')]
    seen = json.loads(line)
    environment = seen["environment"]
    assert (environment["GREETING"], environment["API_KEY"]) == ("hello", SECRET)
    assert environment["HF_ENDPOINT"] == hub.endpoint
    assert environment["HOME"] != os.environ["HOME"]
    uv = {name for name in environment if name.startswith(("UV", "SSL_", "PIP_")) or name.lower().endswith("_proxy")}
    given = {"GREETING", "API_KEY", "HF_ENDPOINT", "HOME", "JOB_ID", "PATH"}
    # `uv run` sets VIRTUAL_ENV, Python sets LC_CTYPE where there is no locale, macOS the last one.
    assert environment.keys() - uv - {"VIRTUAL_ENV", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"} == given
    assert seen["folder"] == []
    assert Path(seen["arguments"][0]).read_text() == "steps: 1\n"  # went along, and its path was put right
    (job,) = hub.api().list_jobs(namespace="tester")
    assert job.status.stage == "COMPLETED"
    assert hub.jobs.all[job.id].timeout == 300
    # The secret reached the job, which printed it; of what the hub tells about the job, only its name is part.
    assert job.secrets == {"API_KEY": None}
    inspected = run_hf(hub, "jobs", "inspect", job.id, "--format", "json")
    assert json.loads(inspected)[0]["environment"] == {"GREETING": "hello"}
    assert SECRET not in inspected + run_hf(hub, "jobs", "ps", "-a", "--format", "json")


def test_the_log_streams_while_the_job_runs(hub: HubForTests, script: Path, gate: Path):
    api = hub.api()
    id, log = started(api, script, WAIT, gate)
    assert api.inspect_job(job_id=id, namespace="tester").status.stage == "RUNNING"
    assert run_hf(hub, "jobs", "ps", "--quiet").split() == [id]
    gate.write_text("open")
    assert list(log) == ["open"]
    assert ended(api, id) == ("COMPLETED", None)
    assert run_hf(hub, "jobs", "ps", "--quiet").split() == []
    assert run_hf(hub, "jobs", "ps", "--quiet", "--all").split() == [id]
    assert run_hf(hub, "jobs", "logs", id).splitlines()[:2] == ["ready", "open"]
    assert list(api.fetch_job_logs(job_id=id, namespace="tester", tail=1)) == ["open"]


@pytest.mark.parametrize("text", [WAIT, WAIT_STUBBORNLY], ids=["asked", "made"])
def test_a_job_is_ended_by_its_timeout(hub: HubForTests, script: Path, gate: Path, text: str):
    hub.jobs.kill_grace = 0.1
    api = hub.api()
    script.write_text(HEADER + text)
    job = api.run_uv_job(str(script), env={"GATE": str(gate)}, namespace="tester", timeout=1)
    # The log ends when nobody is left who could write to it.
    assert "open" not in list(api.fetch_job_logs(job_id=job.id, namespace="tester", follow=True))
    assert ended(api, job.id) == ("ERROR", "Job timeout")


@pytest.mark.parametrize("text", [WAIT, WAIT_STUBBORNLY], ids=["asked", "made"])
def test_a_job_is_cancelled(hub: HubForTests, script: Path, gate: Path, text: str):
    hub.jobs.kill_grace = 0.1
    api = hub.api()
    id, log = started(api, script, text, gate)
    run_hf(hub, "jobs", "cancel", id)
    assert "open" not in list(log)
    assert ended(api, id) == ("CANCELED", None)


def test_a_job_that_fails_says_so(hub: HubForTests, script: Path):
    api = hub.api()
    script.write_text(HEADER + "import sys\nsys.exit(3)\n")
    failed = api.run_uv_job(str(script), namespace="tester")
    assert ended(api, failed.id) == ("ERROR", "Job failed with exit code: 3")
    missing = api.run_job(image="any", command=["no-such-command"], namespace="tester")
    stage, message = ended(api, missing.id)
    assert (stage, "no-such-command" in message) == ("ERROR", True)


def test_a_job_reads_and_writes_volumes(hub: HubForTests, script: Path):
    api = hub.api()
    api.create_repo("tester/tiny")
    api.upload_file(path_or_fileobj=b"from a repository", path_in_repo="in/a.txt", repo_id="tester/tiny")
    for bucket in ("tester/inputs", "tester/outputs"):
        api.create_bucket(bucket)
        api.batch_bucket_files(bucket, add=[(b"old", "run/old.txt"), (b"beside", "beside.txt")])
    script.write_text(
        HEADER
        + "import os, pathlib, sys\n"
        + "model, inputs, outputs = (pathlib.Path(word.split('=')[1]) for word in sys.argv[1:])\n"
        + "(outputs / 'new').mkdir()\n"
        + "(outputs / 'new/a.txt').write_text((model / 'in/a.txt').read_text())\n"
        + "for folder in inputs, outputs:\n"
        + "    (folder / 'old.txt').unlink()\n"
    )
    volumes = [
        Volume(type="model", source="tester/tiny", mount_path="/model"),
        Volume(type="bucket", source="tester/inputs", mount_path="/in", path="run", read_only=True),
        Volume(type="bucket", source="tester/outputs", mount_path="/out", path="run"),
    ]
    words = ["--model=/model", "--in=/in", "--out=/out"]
    job = api.run_uv_job(str(script), script_args=words, volumes=volumes, namespace="tester")
    assert ended(api, job.id) == ("COMPLETED", None)

    def paths(bucket: str) -> list[str]:
        return [file.path for file in api.list_bucket_tree(bucket, recursive=True)]

    assert paths("tester/outputs") == ["beside.txt", "run/new/a.txt"]
    assert paths("tester/inputs") == ["beside.txt", "run/old.txt"]
    api.download_bucket_files("tester/outputs", [("run/new/a.txt", script.with_name("a.txt"))])
    assert script.with_name("a.txt").read_text() == "from a repository"


def test_a_job_works_on_the_hub_with_the_token_it_was_given(hub: HubForTests, script: Path):
    api = hub.api()
    script.write_text(
        HEADER
        + "import json, os, urllib.request\n"
        + "ask = urllib.request.Request(os.environ['HF_ENDPOINT'] + '/api/whoami-v2')\n"
        + "ask.add_header('Authorization', 'Bearer ' + os.environ['HF_TOKEN'])\n"
        + "print(json.load(urllib.request.urlopen(ask))['name'])\n"
    )
    job = api.run_uv_job(str(script), secrets={"HF_TOKEN": hub.token}, namespace="tester")
    assert list(api.fetch_job_logs(job_id=job.id, namespace="tester", follow=True)) == ["tester"]


def test_jobs_are_found_by_stage_and_label_and_come_in_pages(hub: HubForTests):
    hub.page_size = 2
    api = hub.api()
    ids = [
        api.run_job(image="any", command=[word], labels={"word": word}, namespace="tester").id
        for word in ("true", "false", "true")
    ]
    stages = [ended(api, id)[0] for id in ids]
    assert stages == ["COMPLETED", "ERROR", "COMPLETED"]
    assert [job.id for job in api.list_jobs(namespace="tester")] == ids[::-1]
    assert [job.id for job in api.list_jobs(namespace="tester", status="ERROR")] == [ids[1]]
    assert [job.id for job in api.list_jobs(namespace="tester", labels={"word": "true"})] == [ids[2], ids[0]]
    assert [machine.name for machine in api.list_jobs_hardware()] == ["cpu-basic"]


def test_jobs_are_refused(hub: HubForTests):
    api, other, reader = (
        hub.api(),
        hub.api(hub.add_token("somebody", "write")),
        hub.api(hub.add_token("tester", "read")),
    )
    job = {"image": "any", "command": ["true"], "namespace": "tester"}
    for stranger, status in ((other, "403"), (reader, "403"), (hub.api(token=False), "401")):
        with pytest.raises(HfHubHTTPError, match=status):
            stranger.run_job(**job)
    with pytest.raises(JobNotFoundError):
        api.inspect_job(job_id="0" * 24, namespace="tester")
    id = api.run_job(**job).id
    for stranger in (other, reader):
        with pytest.raises(HfHubHTTPError, match="403"):
            stranger.cancel_job(job_id=id, namespace="tester")
    with pytest.raises(HfHubHTTPError, match="404"):
        api.run_job(**job, volumes=[Volume(type="bucket", source="tester/missing", mount_path="/data")])
    assert len(hub.jobs.all) == 1
