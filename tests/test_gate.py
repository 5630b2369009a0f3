"""The gate before publishing: what has to be better, what may not be worse, what can't be compared."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

import gate
import retrieval_results
from evaluation import ResultsError
from tests.results import results

ROOT = Path(__file__).resolve().parent.parent

DEPLOYED = results({"code": [70, 72], "home": [70, 74]}, dropped=0.02, duplicates=0.02, runaway=0.005)
BETTER = results({"code": [75, 78], "home": [74, 79]}, dropped=0.02, duplicates=0.01, runaway=0.005)


def failing(candidate: dict, deployed: dict = DEPLOYED, **search: dict) -> list[str]:
    return [check.what for check in gate.compare(candidate, deployed, **search) if not check.passes]


def test_what_is_better_everywhere_passes() -> None:
    assert failing(BETTER) == []


def test_a_gain_that_may_be_chance_does_not_pass() -> None:
    assert failing(results({"code": [72, 71], "home": [72, 72.5]})) == ["mean score"]
    assert failing(DEPLOYED) == ["mean score"]


def test_no_category_may_pay_for_the_others() -> None:
    candidate = results({"code": [95, 96], "home": [62, 66]})
    assert failing(candidate) == ["score, home"]
    # A loss of less than three points, or one that may be chance, is let through.
    assert failing(results({"code": [95, 96], "home": [69, 73]})) == []


@pytest.mark.parametrize("count", gate.COUNTS)
def test_what_qmd_does_with_the_lines_may_not_get_worse(count: str) -> None:
    candidate = copy.deepcopy(BETTER)
    candidate["summary"][count] = 0.021
    assert failing(candidate) == [count]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("queries_hash", "other", "other queries"),
        ("reward_version", "0.9", "another version of the reward"),
        ("prompt", "plain", "another prompt"),
        ("seeds", [1, 2], "other seeds"),
    ],
)
def test_results_of_another_evaluation_are_refused(key: str, value: object, words: str) -> None:
    deployed = copy.deepcopy(DEPLOYED)
    deployed["settings"][key] = value
    with pytest.raises(ResultsError, match=f"the deployed model's results are of {words}: evaluate it again"):
        gate.compare(BETTER, deployed)


def searched(name: str, ndcg: list[float], embedding: str = "minilm") -> dict:
    settings = {
        "collection": "notes",
        "collection_hash": "c",
        "queries_hash": "q",
        "embedding": embedding,
        "bypass": False,
    }
    rows = [{"id": str(number), name: {"nDCG@10": ndcg[number % len(ndcg)]}} for number in range(40)]
    return {"settings": settings, "expander": {"name": name}, "queries": rows}


def test_search_may_not_get_worse_where_both_sides_know_it() -> None:
    deployed = searched("old", [0.5, 0.6])
    worse, better = searched("new", [0.4, 0.55]), searched("new", [0.5, 0.62])
    assert failing(BETTER, candidate_search=worse, deployed_search=deployed) == ["nDCG@10, notes"]
    assert failing(BETTER, candidate_search=better, deployed_search=deployed) == []
    assert failing(BETTER, candidate_search=worse) == []
    other = searched("old", [0.5], "other")
    assert failing(BETTER, candidate_search=better, deployed_search=other) == ["nDCG@10"]
    with pytest.raises(ResultsError, match="differ in embedding"):
        gate.check_same_search(better["settings"], other["settings"])


def test_results_of_another_format_say_so(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    path.write_text(json.dumps({**searched("old", [0.5]), "format": 1}))
    with pytest.raises(ResultsError, match="is of format 1, not 2: measure it again"):
        retrieval_results.read_results(path)


def test_the_command_stops_what_is_not_better(tiny_llama: Path, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "eval.py", tiny_llama, "--limit", "2", "--seeds", "1", *arguments]
        return subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)

    deployed = tmp_path / "deployed.json"
    assert run("-o", deployed).returncode == 0
    same = run("--gate", deployed)
    assert same.returncode == 1
    assert "candidate against deployed" in same.stdout and "NO" in same.stdout
    noted = json.loads(deployed.read_text())
    noted["settings"]["reward_version"] = "0.1"
    deployed.write_text(json.dumps(noted))
    other = run("--gate", deployed)
    assert other.returncode == 2
    assert "another version of the reward" in other.stderr and len(other.stderr.splitlines()) == 1
    for path, says in (
        (tmp_path / "none.json", "cannot be read"),
        (deployed, "is no results file of eval_retrieval.py"),
    ):
        unread = run("--gate", deployed, "--retrieval", path, path)
        assert unread.returncode == 2
        assert says in unread.stderr and len(unread.stderr.splitlines()) == 1
