"""publish.py against the Hub: what it pushes, what it refuses, and that nothing is ever half pushed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import yaml
from huggingface_hub import CommitOperationAdd, hf_hub_download
from safetensors.numpy import save_file

from dataset import prepare_data
from evaluation import identity
from hub import EVALUATION, REPOSITORIES
from tests.results import results

from .conftest import HubForTests

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = REPOSITORIES["adapter"]
GOOD, BETTER, WORSE = ({"code": [70 + by, 72 + by], "home": [70 + by, 74 + by]} for by in (0, 5, -5))


def publish(hub: HubForTests, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, ROOT / "publish.py", *map(str, arguments)],
        capture_output=True, text=True, env=hub.environment(QMD_HUB_OWNER=hub.user, **environment),
    )  # fmt: skip
    assert hub.token not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def adapter(folder: Path, scores: dict[str, list[float]], **summary: float) -> Path:
    """An adapter whose weights are its scores, with results of just these weights."""
    folder.mkdir()
    save_file({"a": numpy.array(scores["code"], dtype="float32")}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "Qwen/Qwen3-1.7B"}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "notes.txt").write_text("not for the Hub")
    measured = results(scores, weights=identity(folder)[0], **summary)
    (folder / "eval_results.json").write_text(json.dumps(measured))
    return folder


def files(hub: HubForTests, repository: str = NAME, revision: str = "main") -> set[str]:
    return set(hub.api().list_repo_files(f"{hub.user}/{repository}", revision=revision))


def commits(hub: HubForTests, repository: str = NAME, kind: str = "model") -> list[str]:
    return [commit.title for commit in hub.api().list_repo_commits(f"{hub.user}/{repository}", repo_type=kind)]


def held(hub: HubForTests, file: str, tmp_path: Path, repository: str = NAME, revision: str = "main") -> bytes:
    place = hub.api().hf_hub_download(
        f"{hub.user}/{repository}", file, revision=revision, local_dir=tmp_path / "held", force_download=True
    )
    return Path(place).read_bytes()


@pytest.fixture
def deployed(hub: HubForTests, tmp_path: Path) -> Iterator[HubForTests]:
    """A Hub that holds an adapter."""
    done = publish(hub, "adapter", adapter(tmp_path / "first", GOOD))
    assert done.returncode == 0, done.stderr
    assert "this is the first" in done.stdout
    yield hub


def test_the_first_push_makes_the_repository(deployed: HubForTests, tmp_path: Path) -> None:
    assert files(deployed) - {".gitattributes"} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "eval_results.json", "tokenizer.json",
    }  # fmt: skip
    weights = held(deployed, "adapter_model.safetensors", tmp_path)
    assert weights == (tmp_path / "first" / "adapter_model.safetensors").read_bytes()


def test_the_card_tells_what_was_measured(deployed: HubForTests, tmp_path: Path) -> None:
    card = held(deployed, "README.md", tmp_path).decode()
    _, metadata, text = card.split("---\n", 2)
    said = yaml.safe_load(metadata)
    assert (said["base_model"], said["license"]) == ("Qwen/Qwen3-1.7B", "apache-2.0")
    assert said["datasets"] == f"{deployed.user}/qmd-query-expansion-train"
    (entry,) = said["model-index"]
    figures = {metric["name"]: metric["value"] for result in entry["results"] for metric in result["metrics"]}
    assert figures["valid format"] == 1.0
    assert next(value for name, value in figures.items() if name.startswith("score")) == 71.5
    assert "| this model | 40 | 71.5 |" in text
    assert "| code | 20 | 71.0 |" in text
    assert "This is the first model in this repository" in text
    assert f"uv run expand.py {deployed.user}/{NAME}" in text


def test_a_better_model_takes_the_place(deployed: HubForTests, tmp_path: Path) -> None:
    better = adapter(tmp_path / "better", BETTER)
    (better / "tokenizer.json").unlink()
    done = publish(deployed, "adapter", better)
    assert done.returncode == 0, done.stderr
    assert commits(deployed)[0] == "Score 76.5, 71.5 before"
    assert held(deployed, "adapter_model.safetensors", tmp_path) == (better / "adapter_model.safetensors").read_bytes()
    assert "tokenizer.json" not in files(deployed), "what the new model has no use for is gone"
    card = held(deployed, "README.md", tmp_path).decode()
    assert "| deployed before | 40 | 71.5 |" in card
    assert "| mean score | 76.5 | 71.5 | yes |" in card


@pytest.mark.parametrize(
    ("scores", "summary", "why"),
    [
        (WORSE, {}, "mean score"),
        (BETTER, {"runaway": 0.01}, "runaway"),
        ({"code": [95, 96], "home": [62, 66]}, {}, "score, home"),
    ],
)
def test_a_worse_model_is_refused(scores: dict, summary: dict, why: str, deployed: HubForTests, tmp_path: Path) -> None:
    before = commits(deployed)
    done = publish(deployed, "adapter", adapter(tmp_path / "worse", scores, **summary))
    assert done.returncode == 1
    assert f"refused for {why}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert commits(deployed) == before


def test_a_reason_opens_the_gate_and_stands_in_the_card(deployed: HubForTests, tmp_path: Path) -> None:
    done = publish(
        deployed, "adapter", adapter(tmp_path / "worse", WORSE), "--force", "the first one was trained on evals"
    )
    assert done.returncode == 0, done.stderr
    assert "against the gate: the first one was trained on evals" in held(deployed, "README.md", tmp_path).decode()


def test_a_dry_run_changes_nothing(hub: HubForTests, tmp_path: Path) -> None:
    done = publish(hub, "adapter", adapter(tmp_path / "first", GOOD), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "adapter_model.safetensors" in done.stdout
    assert "# qmd-query-expansion-1.7B-sft" in done.stdout
    assert not hub.api().repo_exists(f"{hub.user}/{NAME}")


def test_results_of_other_weights_or_another_rubric_are_refused(deployed: HubForTests, tmp_path: Path) -> None:
    other = adapter(tmp_path / "other", BETTER)
    save_file({"a": numpy.zeros(2, dtype="float32")}, other / "adapter_model.safetensors")
    done = publish(deployed, "adapter", other)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is of other weights than those in" in done.stderr
    older = adapter(tmp_path / "older", BETTER)
    measured = json.loads((older / "eval_results.json").read_text())
    measured["settings"]["reward_version"] = "0.1"
    (older / "eval_results.json").write_text(json.dumps(measured))
    done = publish(deployed, "adapter", older)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "another version of the reward: evaluate it again" in done.stderr
    assert len(commits(deployed)) == 2, "the Hub's own and the first push"


def test_the_deployed_model_measured_again_is_what_counts(deployed: HubForTests, tmp_path: Path) -> None:
    repository = f"{deployed.user}/{NAME}"
    again = results({"code": [80, 82], "home": [80, 84]}, weights=identity(tmp_path / "first")[0])
    deployed.api().create_branch(repository, branch=EVALUATION)
    deployed.api().create_commit(
        repository,
        [CommitOperationAdd("eval_results.json", json.dumps(again).encode())],
        commit_message="again",
        revision=EVALUATION,
    )
    done = publish(deployed, "adapter", adapter(tmp_path / "better", BETTER))
    assert done.returncode == 1
    assert "refused for mean score" in done.stderr


def test_pushing_twice_is_pushing_once(deployed: HubForTests, tmp_path: Path) -> None:
    before = commits(deployed)
    done = publish(deployed, "adapter", tmp_path / "first")
    assert done.returncode == 0
    assert "holds these weights already" in done.stdout
    assert commits(deployed) == before


@pytest.mark.parametrize("fault", ["rate limit", "drop", "server error"])
def test_what_passes_by_itself_does_no_harm(fault: str, deployed: HubForTests, tmp_path: Path) -> None:
    better = adapter(tmp_path / "better", BETTER)
    deployed.faults.add(fault, method="POST", path="/preupload/")
    done = publish(deployed, "adapter", better)
    if done.returncode:
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert len(commits(deployed)) == 2
        done = publish(deployed, "adapter", better)
    assert done.returncode == 0, done.stderr
    assert not deployed.faults.waiting
    assert held(deployed, "adapter_model.safetensors", tmp_path) == (better / "adapter_model.safetensors").read_bytes()


def test_an_answer_that_never_came_is_no_second_push(deployed: HubForTests, tmp_path: Path) -> None:
    better = adapter(tmp_path / "better", BETTER)
    deployed.faults.add("drop after", method="POST", path="/commit/")
    done = publish(deployed, "adapter", better)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    done = publish(deployed, "adapter", better)
    assert done.returncode == 0
    assert "holds these weights already" in done.stdout
    assert len(commits(deployed)) == 3


@pytest.mark.parametrize(("fault", "says"), [("conflict", "main has moved on"), ("revoked", "the token is not valid")])
def test_a_push_that_fails_leaves_everything(fault: str, says: str, deployed: HubForTests, tmp_path: Path) -> None:
    before = commits(deployed)
    deployed.faults.add(fault, method="POST", path="/commit/")
    done = publish(deployed, "adapter", adapter(tmp_path / "better", BETTER))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert says in done.stderr
    assert [commit.title for commit in deployed.api(token=False).list_repo_commits(f"{deployed.user}/{NAME}")] == before


def test_without_a_right_or_a_network_there_is_one_line(deployed: HubForTests, tmp_path: Path) -> None:
    better = adapter(tmp_path / "better", BETTER)
    reader = deployed.add_token(deployed.user, "read")
    done = publish(deployed, "adapter", better, HF_TOKEN=reader)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "the token may not do this" in done.stderr
    assert reader not in done.stdout + done.stderr
    done = publish(deployed, "adapter", better, HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no network" in done.stderr


def test_rolling_back_is_a_new_commit(deployed: HubForTests, tmp_path: Path) -> None:
    repository = f"{deployed.user}/{NAME}"
    first = deployed.api().model_info(repository).sha
    better = adapter(tmp_path / "better", BETTER)
    (better / "chat_template.jinja").write_text("{{ messages }}")
    assert publish(deployed, "adapter", better).returncode == 0
    done = publish(deployed, "rollback", repository, first)
    assert done.returncode == 0, done.stderr
    assert len(commits(deployed)) == 4
    assert files(deployed) == files(deployed, revision=first)
    for name in files(deployed):
        assert held(deployed, name, tmp_path) == held(deployed, name, tmp_path, revision=first), name
    done = publish(deployed, "rollback", repository, first)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nothing to do" in done.stderr
    assert publish(deployed, "rollback", repository, "0" * 40).returncode == 1


# --- Data ----------------------------------------------------------------------------------------------

EXAMPLE = {
    "query": "postgresql default port",
    "output": [["lex", "postgresql 5432"], ["vec", "the tcp port on which postgresql listens by default"]],
}


def prepared(folder: Path, *queries: str) -> Path:
    folder.mkdir()
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps({**EXAMPLE, "query": query}) + "\n" for query in queries))
    prepare_data.prepare(source, folder / "train", val_share=0)
    return folder / "train"


def test_data_is_pushed_and_trained_on_from_the_hub(hub: HubForTests, tmp_path: Path) -> None:
    name = REPOSITORIES["dataset"]
    done = publish(hub, "dataset", prepared(tmp_path / "a", "postgresql default port", "postgres port"))
    assert done.returncode == 0, done.stderr
    repository = f"{hub.user}/{name}"
    card = Path(hf_hub_download(
        repository, "README.md", repo_type="dataset", endpoint=hub.endpoint, token=hub.token, local_dir=tmp_path
    )).read_text()  # fmt: skip
    assert "| train | 2 |" in card
    assert commits(hub, name, "dataset")[0] == "2 examples, 0 held out"
    assert "holds this data already" in publish(hub, "dataset", tmp_path / "a" / "train").stdout
    commit = hub.api().dataset_info(repository).sha
    dry = subprocess.run(
        [sys.executable, ROOT / "train.py", "sft", "--dry-run", "--data", f"{repository}@{commit}"],
        capture_output=True, text=True, env=hub.environment(),
    )  # fmt: skip
    assert dry.returncode == 0, dry.stderr
    assert "2 to train on, 0 held out" in dry.stdout


def test_data_that_nobody_prepared_is_refused(hub: HubForTests, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "a", "postgresql default port")
    with (folder / "train.jsonl").open("a") as file:
        file.write("{}\n")
    done = publish(hub, "dataset", folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "train.jsonl: is not the file that dataset_info.json describes" in done.stderr
    assert not hub.api().repo_exists(f"{hub.user}/{REPOSITORIES['dataset']}", repo_type="dataset")
