"""The gate before publishing: what of a candidate's evaluation has to beat, or match, the deployed model's.

Both sides are results files of `eval.py` (evaluation.py says what they hold), and where both have them, of
`eval_retrieval.py` (retrieval_results.py). Nothing here reaches the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

import retrieval_results
from dataset.console import console_for_tables
from evaluation import ResultsError, by_query, mean_interval, paired_difference

CATEGORY_LOSS = -3.0  # points: a category may not lie wholly below
COUNTS = ("runaway", "dropped", "duplicates")  # shares of evaluation.summarize; less is better
# What two evaluations must have in common to be compared, and in what words they differ.
_SAME = {
    "queries_hash": "other queries",
    "reward_version": "another version of the reward",
    "prompt": "another prompt",
    "decoding": "another decoding",
    "grammar": "decoding with a grammar on one side alone",
    "seeds": "other seeds",
    "qmd_version": "another version of QMD",
}


@dataclass(frozen=True)
class Check:
    """One thing that was compared, in figures, and whether it passes."""

    what: str
    candidate: str
    deployed: str
    passes: bool
    why: str = ""


def check_comparable(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> None:
    """Raise ResultsError unless two evaluations, by their settings, asked the same in the same way."""
    for key, words in _SAME.items():
        if candidate[key] != deployed[key]:
            raise ResultsError(f"the deployed model's results are of {words}: evaluate it again, the same way")


def check_same_questions(candidate: Mapping[str, Any], untuned: Mapping[str, Any]) -> None:
    """Raise ResultsError unless the untuned base, too, was asked the same; decoding and seeds may be others.

    A base has no GGUF file of its own: what it says is measured once, by transformers and so without a grammar.
    """
    for key in ("queries_hash", "reward_version", "prompt", "qmd_version"):
        if candidate[key] != untuned[key]:
            raise ResultsError(f"the base's results are of {_SAME[key]}: evaluate it again")


def _score(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> Check:
    gain, low, high = paired_difference(candidate, deployed)
    return Check(
        "mean score",
        f"{candidate['summary']['score']:.1f}",
        f"{deployed['summary']['score']:.1f}",
        low > 0,
        f"{gain:+.2f}, 95% interval {low:+.2f} to {high:+.2f}; it has to lie above 0",
    )


def _categories(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> list[Check]:
    ours, theirs = by_query(candidate), by_query(deployed)
    members: dict[str, list[str]] = {}
    for query, category in {row["query"]: row["category"] for row in candidate["expansions"]}.items():
        members.setdefault(category, []).append(query)
    checks = []
    for category, queries in members.items():
        gain, low, high = mean_interval([ours[query] - theirs[query] for query in queries])
        means = [mean(side[query] for query in queries) for side in (ours, theirs)]
        why = f"{gain:+.1f}, {low:+.1f} to {high:+.1f}; it may not lie below {CATEGORY_LOSS:+.0f}"
        checks.append(Check(f"score, {category}", *(f"{score:.1f}" for score in means), high >= CATEGORY_LOSS, why))
    return checks


def _counts(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> list[Check]:
    checks = []
    for name in COUNTS:
        ours, theirs = candidate["summary"][name], deployed["summary"][name]
        checks.append(Check(name, f"{ours:.1%}", f"{theirs:.1%}", ours <= theirs, "it may not rise"))
    return checks


def check_same_search(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> None:
    """Raise ResultsError unless two retrieval results, by their settings, are of the same search."""
    for key in retrieval_results.SAME_SEARCH:
        if candidate[key] != deployed[key]:
            raise ResultsError(
                f"the deployed model's retrieval results differ in {key}: measure it again, the same way"
            )


def _search(candidate: Mapping[str, Any], deployed: Mapping[str, Any]) -> Check:
    try:
        check_same_search(candidate["settings"], deployed["settings"])
    except ResultsError as error:
        return Check(retrieval_results.MAIN, "", "", False, str(error))
    sides = []
    for results in (candidate, deployed):
        name = results["expander"]["name"]
        sides.append({row["id"]: row[name][retrieval_results.MAIN] for row in results["queries"]})
    ours, theirs = sides
    gain, low, high = mean_interval([ours[id] - theirs[id] for id in ours])
    means = [sum(side.values()) / len(side) for side in sides]
    why = f"{gain:+.3f}, 95% interval {low:+.3f} to {high:+.3f}; it may not lie below 0"
    what = f"{retrieval_results.MAIN}, {candidate['settings']['collection']}"
    return Check(what, *(f"{value:.3f}" for value in means), high >= 0, why)


_UNSEARCHED = Check(
    retrieval_results.MAIN,
    "not measured",
    "measured",
    False,
    "what was measured of the deployed one is asked of this one",
)


def compare(
    candidate: Mapping[str, Any],
    deployed: Mapping[str, Any],
    candidate_search: Mapping[str, Any] | None = None,
    deployed_search: Mapping[str, Any] | None = None,
) -> list[Check]:
    """Every check of a candidate against the deployed model. Raises ResultsError where they can't be compared."""
    check_comparable(candidate["settings"], deployed["settings"])
    checks = [_score(candidate, deployed), *_categories(candidate, deployed), *_counts(candidate, deployed)]
    if deployed_search:
        checks.append(_search(candidate_search, deployed_search) if candidate_search else _UNSEARCHED)
    return checks


def print_checks(checks: list[Check]) -> None:
    """Print the table of why it passes or not."""
    from rich.table import Table

    table = Table(title="candidate against deployed", title_justify="left")
    for column in ("", "candidate", "deployed", "passes", "why"):
        table.add_column(column, justify="right" if column in ("candidate", "deployed") else "left")
    for check in checks:
        table.add_row(check.what, check.candidate, check.deployed, "yes" if check.passes else "NO", check.why)
    console_for_tables().print(table)
