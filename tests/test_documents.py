"""What the documents say is true of the code and the data."""

import re
import statistics

import pytest

import qmd
import reward
from dataset.schema import load_examples, load_queries
from dataset.validate_schema import ROOT, content_words
from lines import HIT
from tests.scoring_examples import PAGE, Example, examples

SCORING = PAGE.read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLAUDE = (ROOT / "CLAUDE.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", examples(SCORING), ids=lambda e: f"{e.verdict}: {e.query}")
def test_scores_on_the_scoring_page_are_true(example: Example) -> None:
    assert example.score == example.stated, "uv run python tests/scoring_examples.py rewrites the page"


def test_every_rule_of_the_scoring_page_has_a_good_and_a_worse_example() -> None:
    sections = re.split(r"^## (?=\d+\. )", SCORING, flags=re.M)[1:]
    assert len(sections) == 10
    for section in sections:
        found = list(examples(section))
        pairs = list(zip(found[::2], found[1::2], strict=True))
        assert pairs, section[:40]
        for good, bad in pairs:
            assert (good.verdict, bad.verdict) == ("good", "bad")
            assert good.query == bad.query
            assert good.score > bad.score + 5, good.query


def test_the_scoring_page_names_every_point_and_cost() -> None:
    for section, points in reward.POINTS.items():
        assert f"| `{section}` | {points} |" in SCORING
    tables = "".join(line for line in SCORING.splitlines(keepends=True) if line.startswith("|"))
    costs = sorted(int(cost) for cost in re.findall(r"(?<=\| )(\d+)(?= \|)", tables))
    assert costs == sorted([*reward.COST.values(), *reward.POINTS.values()])
    assert f"Reward version {reward.REWARD_VERSION}." in SCORING
    assert max(HIT) == HIT[1], "two terms are worth most"


def test_the_queries_for_evaluation() -> None:
    queries = load_queries(ROOT / "evals" / "queries.txt")
    assert len(queries) == 200
    counts = {query.category: 0 for query in queries}
    for query in queries:
        counts[query.category] += 1
    assert counts["only modes"] == sum(qmd.split_mode(query.text)[1] is not None for query in queries) == 9
    assert counts["other languages"] + counts["mixed languages"] == 40
    assert len(counts) >= 16
    words = [content_words(query.text) for query in queries]
    assert len(set(words)) == len(words), "no two queries with the same content words"


def test_the_figures_of_the_readme_are_the_datas() -> None:
    data = load_examples(ROOT / "data")
    scores = [100 * reward.score_expansion(example.query, example.render()) for example in data]
    assert f"{len(data)} examples" in README
    assert f"mean score of {statistics.mean(scores):.1f}" in README
    assert f"lowest {min(scores):.1f}" in README


def test_the_sample_in_the_readme_is_what_comes_out() -> None:
    query, expansion, output = re.search(
        r"^uv run reward\.py \"(.*?)\" <<'END'\n(.*?)^END\n```\n.*?^```\n(.*?)^```", README, re.M | re.S
    ).groups()
    assert reward.explain(query, expansion) + "\n" == output


@pytest.mark.parametrize("document", ["README.md", "CLAUDE.md", "SCORING.md"])
def test_files_that_documents_name_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:dataset|data|evals|tests|docs|\.ci)/[\w./-]+|\w+\.(?:py|md|toml)|Justfile)`", text))
    named |= set(re.findall(r"\]\(((?!http)[\w./-]+)\)", text)) | set(re.findall(r"uv run ([\w/]+\.py)", text))
    assert named
    built = {"data/train/", "data/train/train.jsonl", "data/train/val.jsonl", "dataset_info.json"}
    assert [name for name in sorted(named - built) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", ["README.md", "CLAUDE.md", "SCORING.md", "Justfile"])
def test_documents_name_no_machine(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:work|tmp|root|home|opt)/", text)
