"""The whole road in the cloud, on the stand-in Hub: data, a job that is cut off, the next one, models, cards.

A tiny random Qwen3 with the real tokenizer takes Qwen3-1.7B's place; the jobs are the files of jobs/, run by uv from
their own headers as HF Jobs would.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hub import EVALUATION, repository
from tests.conftest import ROOT, run_plain_uv

from .conftest import HubForTests
from .test_hub import run_hf

BASE = "tester/tiny-qwen3"
# Twenty steps, each with a checkpoint: enough to be cut off on the way.
FILES, EACH = ("code", "home", "forms"), 6
RECIPE = [
    f"model.base={BASE}", "training.device=cpu", "training.epochs=4", "training.batch_size=3",
    "training.gradient_accumulation=1", "training.save_interval_minutes=0.02", "evaluation.queries=2",
    "evaluation.seeds=[1]",
]  # fmt: skip
SEARCH = ["--search-queries", "2"]
SETTINGS = [word for value in RECIPE for word in ("--set", value)]


def submit(hub: HubForTests, script: str, *arguments: str) -> str:
    """Submit a job with the `hf` command, by the launch settings in the script's header; returns its id."""
    said = run_hf(
        hub, "jobs", "uv", "run", "--detach", "--namespace", hub.user, str(ROOT / "jobs" / script), *arguments,
        "--owner", hub.user,
    )  # fmt: skip
    (job,) = [job for job in hub.api().list_jobs(namespace=hub.user) if job.id in said]
    return job.id


def log(hub: HubForTests, id: str) -> list[str]:
    """Everything that a job has said, when it has ended."""
    return list(hub.api().fetch_job_logs(job_id=id, namespace=hub.user, follow=True))


def outcome(hub: HubForTests, id: str) -> tuple[str, str | None]:
    status = hub.api().inspect_job(job_id=id, namespace=hub.user).status
    return status.stage, status.message


def name(hub: HubForTests, kind: str) -> str:
    return repository(kind, hub.user)


@pytest.fixture
def supplied(hub: HubForTests, tiny_qwen3: Path, tmp_path: Path) -> HubForTests:
    """A Hub with the base model and the data, published as a user would."""
    # What a job needs is in uv's cache when the script has run once; then no job asks the index again.
    done = run_plain_uv(ROOT / "jobs" / "sft.py", "--help")
    assert done.returncode == 0, done.stderr
    hub.jobs.uv = {"UV_OFFLINE": "1"}
    hub.jobs.kill_grace = 60  # a job that is ended saves a checkpoint first
    hub.api().create_repo(BASE)
    hub.api().upload_folder(repo_id=BASE, folder_path=tiny_qwen3)
    data = tmp_path / "data"
    data.mkdir()
    for file in FILES:
        lines = (ROOT / "data" / f"{file}.jsonl").read_text("utf-8").splitlines(keepends=True)
        (data / f"{file}.jsonl").write_text("".join(lines[:EACH]), encoding="utf-8")
    for command in (
        ["dataset/prepare_data.py", "--data", data, "--output", tmp_path / "prepared", "--val-share", "0.2"],
        ["publish.py", "dataset", tmp_path / "prepared", "--owner", hub.user],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=hub.environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    return hub


def test_from_data_to_published_models(supplied: HubForTests, tmp_path: Path) -> None:
    hub = supplied
    # The first job is ended by its time-out when it has a checkpoint.
    first = submit(hub, "sft.py", *SETTINGS, *SEARCH)
    for line in hub.api().fetch_job_logs(job_id=first, namespace=hub.user, follow=True):
        if line.startswith("checkpoint of step"):
            hub.jobs.expire(hub.jobs.all[first])
            break
    said = log(hub, first)
    assert outcome(hub, first) == ("ERROR", "Job timeout"), said
    assert not hub.api().repo_exists(name(hub, "adapter")), "nothing is published before it is finished"

    # The second one goes on from there, and publishes.
    second = submit(hub, "sft.py", *SETTINGS, *SEARCH)
    said = log(hub, second)
    assert outcome(hub, second) == ("COMPLETED", None), said
    assert any("continuing from outputs/sft-" in line for line in said)
    for kind, weights in (("adapter", "adapter_model.safetensors"), ("merged", "model.safetensors")):
        found = set(hub.api().list_repo_files(name(hub, kind)))
        assert {
            "README.md", "eval_results.json", "base_results.json", "retrieval_results.json", "run.json", "loss.png",
            weights,
        } <= found  # fmt: skip
    files = set(hub.api().list_repo_files(name(hub, "gguf")))
    assert {"qmd-query-expansion-1.7B-q8_0.gguf", "Modelfile", "report.json", "README.md"} <= files
    adapter = hub.api().model_info(name(hub, "adapter")).sha
    commit = hub.api().dataset_info(name(hub, "dataset")).sha
    run = json.loads(Path(hub.api().hf_hub_download(name(hub, "gguf"), "run.json", local_dir=tmp_path)).read_text())
    assert run["data"]["source"] == f"{name(hub, 'dataset')}@{commit}"
    card = Path(hub.api().hf_hub_download(name(hub, "gguf"), "README.md", local_dir=tmp_path)).read_text()
    assert f"uv run train.py sft --config recipe.yaml --data {name(hub, 'dataset')}@{commit}\n" in card
    assert "| original | " in card, "the search"
    assert f"| {BASE}, untuned (without the grammar) | 2 |" in card
    assert "![loss a trained token over the steps](loss.png)" in card
    assert "QMD_GENERATE_MODEL=$PWD/qmd-query-expansion-1.7B-q8_0.gguf" in card
    for kind in ("adapter", "merged", "gguf"):
        assert [commit.title for commit in hub.api().list_repo_commits(name(hub, kind))][1:] == ["initial commit"]

    # The same weights converted once more are nothing new, and push nothing.
    before = hub.api().model_info(name(hub, "gguf")).sha
    third = submit(hub, "gguf.py", name(hub, "adapter"), "--limit", "2", *SEARCH)
    said = log(hub, third)
    assert outcome(hub, third) == ("COMPLETED", None), said
    assert any("holds this model already" in line for line in said), said
    assert hub.api().model_info(name(hub, "gguf")).sha == before

    # Results measured again lie on a branch beside the model.
    fourth = submit(hub, "eval.py", name(hub, "adapter"), "--seeds", "1")
    said = log(hub, fourth)
    assert outcome(hub, fourth) == ("COMPLETED", None), said
    results = hub.api().hf_hub_download(
        name(hub, "adapter"), "eval_results.json", revision=EVALUATION, local_dir=tmp_path
    )
    assert json.loads(Path(results).read_text())["settings"]["revision"] == adapter

    assert hub.token not in "\n".join(line["data"] for job in hub.jobs.all.values() for line in job.log)


def test_a_job_runs_from_a_url(hub: HubForTests, tmp_path: Path) -> None:
    # Without llama.cpp, which uv would compile: it can't fetch the script and leave the index alone.
    text = (ROOT / "jobs" / "eval.py").read_text("utf-8").replace('#   "llama-cpp-python==0.3.36",\n', "")
    hub.api().create_repo("tester/scripts")
    hub.api().upload_file(path_or_fileobj=text.encode(), path_in_repo="eval.py", repo_id="tester/scripts")
    url = f"{hub.endpoint}/tester/scripts/resolve/main/eval.py"
    done = subprocess.run(["uv", "run", "--no-project", url, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "hf jobs uv run jobs/eval.py" in done.stdout
