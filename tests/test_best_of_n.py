"""Best-of-N distillation: what takes a written expansion's place, and what does not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import reward
import search
from dataset.prepare_data import VAL_SHARE, Preparation, prepare, split_of
from dataset.schema import TrainingExample, load_examples
from experiments.best_of_n.best_of_n import (
    HELD_OUT,
    NO_HYDE,
    NOT_FOUND,
    NOT_WHOLE,
    TAKEN,
    WORSE,
    KnownItems,
    as_row,
    best_sample,
    choose,
    distil,
    report_of,
)
from plan import learned_lines
from recipe import load_recipe
from tests.conftest import ROOT

QUERY = "acetone smell"
HYDE = "A smell of acetone means that the sourdough starter is hungry: feed it twice a day until it rises again."
BETTER = (
    f"hyde: {HYDE}\nlex: acetone hungry\nlex: smell sourdough\nvec: why a sourdough starter has a smell of acetone\n"
)
# As good by the rubric, but it looks for another document.
ASTRAY = (
    "hyde: Acetone has a smell of its own, so open a window while the remover takes the varnish off the floor.\n"
    "lex: acetone varnish\nlex: smell remover\nvec: how long the smell of acetone stays after a floor was stripped\n"
)
DROPPED = "lex: acetone hungry\nlex: entirely unrelated\nvec: why a sourdough starter has a smell of acetone\n"


def written(query: str = QUERY, lex: str = "smell sourdough starter hungry twice", hyde: str | None = HYDE):
    lines = [["hyde", hyde]] if hyde else []
    vec = ["vec", "a sourdough starter with a smell of acetone"]
    return TrainingExample(query=query, output=[*lines, ["lex", lex], vec], category="home")


def only_hyde() -> TrainingExample:
    return TrainingExample(query=f"{QUERY} /only:hyde", output=[["hyde", "Acetone has a smell."]], category="home")


@pytest.fixture(scope="module")
def embedder() -> search.Embedder:
    return search.Embedder()


def other(query: str, hyde: str, lex: str) -> TrainingExample:
    return TrainingExample(query=query, output=[["hyde", hyde], ["lex", lex]])


OTHERS = [
    other("strip a floor", "Acetone remover takes varnish off a floor in minutes; the smell stays.", "varnish floor"),
    other("feed a hungry cat", "A hungry cat wants its feed twice a day, at set hours.", "hungry cat"),
]


def test_the_best_sample_is_one_that_qmd_reads_whole() -> None:
    twice = "lex: acetone hungry\nlex: acetone hungry\nvec: why a sourdough starter has a smell of acetone\n"
    assert best_sample(QUERY, [DROPPED, twice, "no lines at all"]) is None
    worse = written().render()
    assert best_sample(QUERY, [worse, BETTER, DROPPED]) == BETTER


@pytest.mark.parametrize(
    "example, samples, why",
    [
        (written(), [BETTER, DROPPED], TAKEN),
        (written(), [DROPPED], NOT_WHOLE),
        (written(hyde=None), [BETTER], NO_HYDE),
        (written(lex="acetone hungry"), [written().render()], WORSE),
        (written(), [ASTRAY], NOT_FOUND),
        (only_hyde(), [f"hyde: {HYDE}\n"], NO_HYDE),
    ],
)
def test_reward_and_search_both_have_to_prefer_it(
    embedder: search.Embedder, example: TrainingExample, samples: list[str], why: str
) -> None:
    found = choose(example, samples, KnownItems([example, *OTHERS], embedder))
    assert found.why == why
    assert found.text == (BETTER if why == TAKEN else example.render())
    assert found.score >= found.written_score


def test_what_is_not_learned_does_not_count(embedder: search.Embedder) -> None:
    example, bare = written(lex="acetone hungry"), Preparation(hyde_lines=0)
    items = KnownItems([example, *OTHERS], embedder)
    assert choose(example, [example.render()], items, bare).why == WORSE
    found = choose(written(), [BETTER], items, bare)
    assert (found.why, found.text) == (TAKEN, BETTER.partition("\n")[2])


def test_a_hyde_does_not_find_itself(embedder: search.Embedder) -> None:
    items = KnownItems([written(), *OTHERS], embedder)
    assert items.rank(QUERY, ASTRAY) > items.rank(QUERY, BETTER) == 1


def test_what_was_not_asked_stays_as_it_is(embedder: search.Embedder) -> None:
    examples = [written(), *OTHERS]
    choices = distil(examples, examples[:1], [[BETTER]], embedder)
    assert [choice.why for choice in choices] == [TAKEN, HELD_OUT, HELD_OUT]
    report = report_of(choices, {"n": 1})
    assert (report["asked"], report["became"], report["taken"]) == (1, {TAKEN: 1}, [QUERY])
    assert report["score_new"] > report["score_written"]
    rows = [json.loads(as_row(choice)) for choice in choices]
    assert [row["query"] for row in rows] == [example.query for example in examples]
    assert rows[0]["output"][1] == ["lex", "acetone hungry"]


def test_the_command_goes_on_and_writes_examples_to_train_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    lines = (ROOT / "data" / "home.jsonl").read_text("utf-8").splitlines(keepends=True)[:12]
    (data / "home.jsonl").write_text("".join(lines), encoding="utf-8")
    command = [sys.executable, "experiments/best_of_n/best_of_n.py", "models/smollm2", "--n", "1", "--limit", "2"]

    def run(output: Path) -> str:
        done = subprocess.run(
            [*command, "--data", str(data), "--output", str(output)], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return (output / "data.jsonl").read_text("utf-8")

    first, (said,) = run(tmp_path / "one"), (tmp_path / "one" / "samples").iterdir()
    samples = said.read_bytes()
    assert run(tmp_path / "one") == first
    assert said.read_bytes() == samples  # nobody was asked again
    before, after = load_examples(data), load_examples(tmp_path / "one" / "data.jsonl")
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert report["asked"] == 2
    assert [example.query for example in after] == [example.query for example in before]
    changed = [new for old, new in zip(before, after, strict=True) if old.output != new.output]
    assert [example.query for example in changed] == report["taken"]
    assert all(split_of(example.query, VAL_SHARE) == "train" for example in changed)
    assert report["reward_version"] == reward.REWARD_VERSION


def test_the_small_model_can_be_trained_again(tmp_path: Path) -> None:
    """What it learned stands beside it: its recipe and its examples are those that its run.json names."""
    folder, recipe = ROOT / "models" / "smollm2", load_recipe(ROOT / "configs" / "sft-smollm2.yaml")
    identity = json.loads((folder / "run.json").read_text())["identity"]
    assert identity["recipe"] == recipe.digest()
    prepared = prepare(folder / "data.jsonl", tmp_path, learned_lines(recipe.training))
    assert identity["data"] == prepared["data_hash"]


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "experiments/best_of_n/best_of_n.py", str(tmp_path / "none"), "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("best_of_n.py: ")
