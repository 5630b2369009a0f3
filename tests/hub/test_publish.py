"""publish.py against the Hub: what it pushes, what it refuses, and that nothing is ever half pushed."""

import hashlib
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

import recipe
import retrieval_results
from dataset import prepare_data
from evaluation import identity
from hub import EVALUATION, REPOSITORIES
from tests.results import results

from .conftest import HubForTests

BASE = "Qwen/Qwen3-1.7B"
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
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": BASE}))
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
    assert "holds no model yet: this is the first" in done.stdout
    yield hub


def test_a_reinforced_adapter_takes_the_one_below_it_along(hub: HubForTests, tmp_path: Path) -> None:
    folder, below = adapter(tmp_path / "grpo", GOOD), adapter(tmp_path / "sft", WORSE)
    (folder / "sft").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (below / name).rename(folder / "sft" / name)
    done = publish(hub, "grpo", folder)
    assert "is of other weights" in done.stderr, "of the adapter alone, which is half of the model"
    measured = results(GOOD, weights=identity(folder)[0])
    (folder / "eval_results.json").write_text(json.dumps(measured))
    assert publish(hub, "grpo", folder).returncode == 0
    name = REPOSITORIES["grpo"]
    assert {"adapter_model.safetensors", "sft/adapter_model.safetensors"} <= files(hub, name)
    before = files(hub, name), commits(hub, name)
    assert "holds this model already" in publish(hub, "grpo", folder).stdout
    assert (files(hub, name), commits(hub, name)) == before


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
    assert (said["base_model"], said["license"]) == (BASE, "apache-2.0")
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


def test_weights_that_nobody_measured_are_left_alone(hub: HubForTests, tmp_path: Path) -> None:
    repository = f"{hub.user}/{NAME}"
    old = adapter(tmp_path / "old", GOOD)
    hub.api().create_repo(repository)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        hub.api().upload_file(path_or_fileobj=old / name, path_in_repo=name, repo_id=repository)
    before = commits(hub)
    better = adapter(tmp_path / "better", BETTER)
    done = publish(hub, "adapter", better)
    assert done.returncode == 1
    assert "refused for the deployed model's results" in done.stderr
    assert commits(hub) == before
    # As jobs/eval.py does, which measures what main holds.
    measured = (old / "eval_results.json").read_bytes()
    hub.api().create_branch(repository, branch=EVALUATION)
    hub.api().create_commit(
        repository, [CommitOperationAdd("eval_results.json", measured)], commit_message="now", revision=EVALUATION
    )
    done = publish(hub, "adapter", better)
    assert done.returncode == 0, done.stderr
    assert commits(hub)[0] == "Score 76.5, 71.5 before"


def test_of_two_first_pushes_one_is_refused(hub: HubForTests, tmp_path: Path) -> None:
    assert publish(hub, "adapter", adapter(tmp_path / "first", GOOD)).returncode == 0
    # The second one looked before the first had pushed: there was no repository.
    hub.faults.add("not there", method="GET", path=f"/api/models/{hub.user}/{NAME}")
    done = publish(hub, "adapter", adapter(tmp_path / "second", BETTER))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "main has moved on" in done.stderr
    assert len(commits(hub)) == 2


def gguf(folder: Path, scores: dict[str, list[float]], *names: str) -> Path:
    """A folder as convert_gguf.py leaves it, with results of its first file."""
    folder.mkdir()
    for number, name in enumerate(names):
        (folder / name).write_bytes(f"GGUF {number} {scores}".encode())
    report = [{"file": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()} for name in names]
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "Modelfile").write_text(f"FROM ./{names[0]}\n")
    run = {
        "recipe": recipe.load_recipe(ROOT / "configs" / "sft.yaml").model_dump(),
        "data": {"data_hash": "d", "counts": {"train": 9, "val": 1}, "source": "me/data@main"},
        "identity": {"limit": 5},
    }
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "eval_results.json").write_text(json.dumps(results(scores, weights=identity(folder / names[0])[0])))
    return folder


def test_gguf_files_are_those_that_were_checked_together(hub: HubForTests, tmp_path: Path) -> None:
    repository, names = REPOSITORIES["gguf"], ("m-q8_0.gguf", "m-f16.gguf")
    folder = gguf(tmp_path / "a", GOOD, *names)
    (folder / "m-q4_k_m.gguf").write_bytes(b"of another conversion")
    done = publish(hub, "gguf", folder)
    assert done.returncode == 0, done.stderr
    assert files(hub, repository) - {".gitattributes"} == {
        *names, "Modelfile", "README.md", "eval_results.json", "recipe.yaml", "report.json", "run.json",
    }  # fmt: skip
    card = held(hub, "README.md", tmp_path, repository).decode()
    assert f"QMD_GENERATE_MODEL=$PWD/{names[0]} qmd query" in card
    assert "uv run train.py sft --config recipe.yaml --data me/data@main --limit 5\n" in card
    assert f"uv run eval.py {hub.user}/{repository}/{names[0]} --seeds 1 -o eval_results.json\n" in card
    assert "\ndatasets: me/data\n" in card
    # Another quantisation of the same model comes to the others.
    (folder / "report.json").write_text(
        json.dumps([
            {"file": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
            for name in (*names, "m-q4_k_m.gguf")
        ])
    )  # fmt: skip
    assert publish(hub, "gguf", folder).returncode == 0
    assert "m-q4_k_m.gguf" in files(hub, repository)
    (folder / names[1]).write_bytes(b"not the one that was checked")
    done = publish(hub, "gguf", folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{names[1]}: is not the file that report.json describes" in done.stderr


def searched(path: Path, weights: str | None, ndcg: float, queries: int = 8) -> Path:
    """What eval_retrieval.py would write of a model whose every query has this nDCG@10."""
    found = {"nDCG@10": ndcg, "RR": ndcg, "R@20": ndcg}
    systems = {name: {**found, "gain": [ndcg - 0.5] * 3} for name in ("original", "ours")}
    path.write_text(json.dumps({
        "format": retrieval_results.FORMAT,
        "settings": {
            "collection": "notes", "documents": 150, "collection_hash": "c", "queries": queries, "queries_hash": "q",
            "embedding": "m", "bypass": False,
        },
        "expander": {"name": "ours", "weights": weights},
        "systems": systems,
        "queries": [{"id": str(n), "ours": {**found, "nDCG@10": ndcg + n / 100}} for n in range(queries)],
    }))  # fmt: skip
    return path


def test_search_may_not_get_worse(deployed: HubForTests, tmp_path: Path) -> None:
    better, best = (
        adapter(tmp_path / name, scores) for name, scores in (("b", BETTER), ("c", {"code": [90], "home": [91]}))
    )
    here = searched(tmp_path / "here.json", identity(better)[0], 0.6)
    untuned = tmp_path / "untuned.json"
    of_base = results({"code": [1, 2], "home": [3]}, weights="0")
    of_base["settings"]["model"] = BASE
    untuned.write_text(json.dumps(of_base))
    done = publish(deployed, "adapter", better, "--retrieval", here, "--base-results", untuned)
    assert done.returncode == 0, done.stderr
    card = held(deployed, "README.md", tmp_path).decode()
    assert "8 queries over 150 documents (`notes`)" in card
    assert "| ours | 0.600 | +0.100 |" in card
    assert f"| {BASE}, untuned | 40 | 2.2 |" in card
    # Not measured, measured with another model, worse, the same.
    done = publish(deployed, "adapter", best)
    assert (done.returncode, "refused for nDCG@10" in done.stderr) == (1, True)
    done = publish(deployed, "adapter", best, "--retrieval", here)
    assert (done.returncode, "search with them" in done.stderr) == (2, True)
    worse = searched(tmp_path / "worse.json", identity(best)[0], 0.5)
    done = publish(deployed, "adapter", best, "--retrieval", worse)
    assert (done.returncode, "refused for nDCG@10, notes" in done.stderr) == (1, True)
    same = searched(tmp_path / "same.json", identity(best)[0], 0.6)
    assert publish(deployed, "adapter", best, "--retrieval", same).returncode == 0
    assert f"| {BASE}, untuned | 40 | 2.2 |" in held(deployed, "README.md", tmp_path).decode(), "known from main"


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
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "of another version of the reward" in done.stdout
    assert "refused for the deployed model's results" in done.stderr
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
    assert "holds this model already" in done.stdout
    assert commits(deployed) == before
    (tmp_path / "first" / "tokenizer.json").write_text('{"mended": true}')
    assert publish(deployed, "adapter", tmp_path / "first").returncode == 0
    assert held(deployed, "tokenizer.json", tmp_path) == b'{"mended": true}', "the same model with another file beside"


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
    assert "holds this model already" in done.stdout
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
    assert "no answer from the Hub" in done.stderr


@pytest.mark.parametrize("fault", ["conflict", "drop"])
def test_an_upload_that_is_cut_off_is_made_good_or_one_line(fault: str, deployed: HubForTests, tmp_path: Path) -> None:
    before, better = commits(deployed), adapter(tmp_path / "better", BETTER)
    deployed.faults.add(fault, method="PUT", path="/lfs-uploads/")
    done = publish(deployed, "adapter", better, HF_HUB_DISABLE_XET="1")
    assert not deployed.faults.waiting
    if done.returncode:
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert commits(deployed) == before
        done = publish(deployed, "adapter", better, HF_HUB_DISABLE_XET="1")
    assert done.returncode == 0, done.stderr
    assert held(deployed, "adapter_model.safetensors", tmp_path) == (better / "adapter_model.safetensors").read_bytes()


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


def prepared(folder: Path, *queries: str, hyde_lines: int = 1) -> Path:
    folder.mkdir()
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps({**EXAMPLE, "query": query}) + "\n" for query in queries))
    prepare_data.prepare(source, folder / "train", prepare_data.Preparation(val_share=0, hyde_lines=hyde_lines))
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
    done = publish(hub, "dataset", prepared(tmp_path / "b", "postgresql default port", hyde_lines=0))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "was prepared with hyde_lines 0; what is published has 1" in done.stderr
    assert not hub.api().repo_exists(f"{hub.user}/{REPOSITORIES['dataset']}", repo_type="dataset")
