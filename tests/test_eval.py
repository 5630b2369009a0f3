"""Evaluating a model: what is counted, what survives an interruption, what can be compared."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import evaluation
from dataset.schema import EvalQuery, load_queries
from evaluation import ResultsError, Settings, evaluate, paired_difference, read_results, spread, write_results
from expander import Decoding, Expander, Generation

ROOT = Path(__file__).resolve().parent.parent
QUERIES = [EvalQuery("auth config", "code"), EvalQuery("sourdough starter", "home"), EvalQuery("tls cert", "code")]
GOOD = "hyde: The sourdough starter doubles in six hours.\nlex: sourdough feeding\nvec: care of a sourdough starter\n"
# QMD drops the second line, which has no word of the query, and searches the third, which says the first again.
MIXED = "lex: auth tokens\nlex: unrelated words\nlex: auth tokens\n"
RUNAWAY = "vec: tls tls tls"


class Written(Expander):
    """Gives written answers; `breaks_after` of them, the process is told to stop."""

    grammar = False

    def __init__(self, answers: dict[str, str], breaks_after: int | None = None) -> None:
        super().__init__("written", None, system=True)
        self.answers = answers
        self.breaks_after = breaks_after
        self.asked: list[tuple[str, int]] = []

    def prompt_tokens(self, query: str) -> list[int]:
        return []

    def generate(
        self, queries: Sequence[str], *, decoding: Decoding = "qmd", seed: int = 0, max_tokens: int | None = None
    ) -> Iterator[tuple[int, Generation]]:
        for index in reversed(range(len(queries))):
            if len(self.asked) == self.breaks_after:
                raise KeyboardInterrupt
            self.asked.append((queries[index], seed))
            text = self.answers[queries[index]]
            yield index, Generation(text, len(text.split()), 0.5, text.endswith("\n"))


ANSWERS = {"auth config": MIXED, "sourdough starter": GOOD, "tls cert": RUNAWAY}


def run(answers: dict[str, str] = ANSWERS, seeds: Sequence[int] = (1, 2), queries: list[EvalQuery] = QUERIES) -> dict:
    expander = Written(answers)
    return evaluate(expander, queries, Settings.of(expander, queries, "qmd", seeds))


def test_a_cut_note_of_the_run_is_one_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models" / "smollm2", tmp_path, dirs_exist_ok=True)
    whole = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(whole[: len(whole) // 2])
    done = subprocess.run(
        [sys.executable, "eval.py", str(tmp_path), "--limit", "1"], cwd=ROOT, capture_output=True, text=True
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("eval.py: ")]
    assert line.startswith(f"eval.py: {tmp_path}/run.json: is not what train.py writes")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_counts_are_what_qmd_does_with_the_lines() -> None:
    results = run()
    rows = {row["query"]: row for row in results["expansions"]}
    assert [(row["kept"], row["dropped"], row["duplicates"]) for row in map(rows.get, ANSWERS)] == [
        (2, 1, 1),
        (3, 0, 0),
        (1, 0, 0),
    ]
    summary = results["summary"]
    assert summary["expansions"] == 6
    assert summary["lines"] == 14
    assert summary["dropped"] == pytest.approx(2 / 14, abs=1e-4)
    assert summary["duplicates"] == pytest.approx(2 / 14, abs=1e-4)
    assert summary["runaway"] == pytest.approx(2 / 6, abs=1e-4)
    assert summary["valid_format"] == pytest.approx(2 / 6, abs=1e-4)
    assert summary["categories"]["home"]["valid_format"] == 1
    assert summary["categories"]["home"]["score"] == pytest.approx(rows["sourdough starter"]["score"], abs=0.01)
    assert rows["sourdough starter"]["score"] > rows["auth config"]["score"]
    assert sum(summary["ratings"].values()) == 6
    assert [row["query"] for row in results["expansions"][::2]] == [query.text for query in QUERIES]


def test_an_expansion_that_qmd_replaces_keeps_no_line() -> None:
    results = run({"auth config": "lex: nothing here\n"}, queries=QUERIES[:1])
    assert results["expansions"][0]["kept"] == 0


def test_an_interrupted_evaluation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    partial = tmp_path / "x.partial"
    stopped = Written(ANSWERS, breaks_after=4)
    settings = Settings.of(stopped, QUERIES, "qmd", (1, 2))
    with pytest.raises(KeyboardInterrupt):
        evaluate(stopped, QUERIES, settings, partial)
    with partial.open("a") as file:
        file.write('{"query": "auth co')  # a kill in the middle of a line
    going_on = Written(ANSWERS)
    results = evaluate(going_on, QUERIES, settings, partial)
    assert sorted(stopped.asked + going_on.asked) == sorted((query.text, seed) for query in QUERIES for seed in (1, 2))
    assert results == run()
    # Other seeds, other answers: nothing of it is taken.
    other = Written(ANSWERS)
    evaluate(other, QUERIES, Settings.of(other, QUERIES, "qmd", (1, 3)), partial)
    assert len(other.asked) == 6


def test_a_limit_takes_its_share_of_every_category() -> None:
    queries = load_queries(ROOT / "evals" / "queries.txt")
    taken = spread(queries, 50)
    assert len(taken) == 50
    assert {query.category for query in taken} == {query.category for query in queries}
    assert spread(queries, None) == spread(queries, 10_000) == queries


# --- Results files -------------------------------------------------------------------------------------


def test_results_files_are_read_back(tmp_path: Path) -> None:
    results = run()
    write_results(results, tmp_path / "new" / "results.json")
    assert read_results(tmp_path / "new" / "results.json") == json.loads(json.dumps(results))


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "cannot be read"), ("{", "no results file"), ("{}", "no results file"), ("[]", "no results file")],
)
def test_unreadable_results_are_one_line(text: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ResultsError, match=f"{path}: .*{says}") as caught:
        read_results(path)
    assert "\n" not in str(caught.value)


def test_results_of_another_format_are_refused(tmp_path: Path) -> None:
    write_results({**run(), "format": 0}, tmp_path / "old.json")
    with pytest.raises(ResultsError, match="has format 0, not 1"):
        read_results(tmp_path / "old.json")


# --- Comparing -----------------------------------------------------------------------------------------


def test_the_difference_is_paired_by_query() -> None:
    queries = [EvalQuery(f"sourdough starter {number}", "home") for number in range(20)]
    good = {query.text: GOOD for query in queries}
    mixed = {**good, queries[0].text: "lex: nothing\n"}
    better, same, worse = run(good, queries=queries), run(good, queries=queries), run(mixed, queries=queries)
    assert paired_difference(better, same) == (0, 0, 0)
    difference, low, high = paired_difference(better, worse)
    assert difference == pytest.approx(better["summary"]["score"] - worse["summary"]["score"], abs=0.01)
    assert 0 <= low < difference < high
    assert paired_difference(better, worse) == (difference, low, high)
    assert paired_difference(worse, better)[0] == -difference


def test_results_of_other_queries_or_another_reward_are_not_compared() -> None:
    ours = run()
    with pytest.raises(ResultsError, match="other queries"):
        paired_difference(ours, run(queries=QUERIES[:2]))
    theirs = {**ours, "settings": {**ours["settings"], "reward_version": "0"}}
    with pytest.raises(ResultsError, match="another version of the reward"):
        paired_difference(ours, theirs)


def test_tables_name_what_is_worst_and_what_differs(capsys: pytest.CaptureFixture) -> None:
    ours = run()
    theirs = run({**ANSWERS, "sourdough starter": "lex: [/x] sourdough\n"})
    evaluation.print_results(ours, worst=1)
    evaluation.print_comparison(ours, theirs)
    shown = capsys.readouterr().out
    assert "home" in shown
    assert "vec: tls tls tls" in shown
    assert "1 better, 2 the same, 0 worse" in shown
    assert "lex: [/x] sourdough" in shown


# --- The command ---------------------------------------------------------------------------------------


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    whole = [sys.executable, "eval.py", *map(str, arguments)]
    return subprocess.run(whole, cwd=ROOT, env=env, capture_output=True, text=True)


def test_same_seeds_same_output(tiny_llama: Path, tmp_path: Path) -> None:
    asked = (tiny_llama, "--limit", "3", "--seeds", "1", "-o")
    first = command(*asked, tmp_path / "first.json")
    assert first.returncode == 0, first.stderr
    second = command(*asked, tmp_path / "second.json", "--compare", tmp_path / "first.json")
    assert second.returncode == 0, second.stderr
    assert "0 better, 3 the same, 0 worse" in second.stdout
    results = [read_results(tmp_path / name) for name in ("first.json", "second.json")]
    assert results[0]["settings"] == results[1]["settings"]
    assert results[0]["settings"]["weights"]
    texts = [[row["text"] for row in found["expansions"]] for found in results]
    assert texts[0] == texts[1]
    assert results[0]["summary"]["expansions"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.json", "second.json"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["nowhere.gguf"], "nowhere.gguf: no such file"),
        (["x", "--queries", "nowhere.txt"], "nowhere.txt"),
        (["x", "--compare", "nowhere.json"], "nowhere.json: cannot be read"),
        (["x", "--decoding", "greedy", "--seeds", "1"], "greedy decoding has no seeds"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments: list[str], says: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
