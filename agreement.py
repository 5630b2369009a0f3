"""Does the score predict search? `eval_retrieval.py --agreement` is its command.

Kinds of expansion of different quality are made for the same queries: a tuned model's under several temperatures, an
untuned model's, those of the expanders without a model, hand-written ones, and each way of spoiling them
(`spoiled.py`). Each has a reward and, in the collection, a fused nDCG@10; the two should order them alike.

The results file is one JSON object:

    format        1; changes when the meaning of a key does
    settings      collection, queries (number and hash), embedding model, reward version
    tuned, untuned  the models, and how the tuned one was asked
    original      nDCG@10 of the original query alone
    kinds         for each kind: samples a query, mean reward and nDCG@10, its gain over the original query alone with
                  the 95% paired bootstrap interval, the share of its lines that say what another one says, the share of
                  runaways (None where nothing was generated), and the kind that it was spoiled from
    agreement     for all queries, and for the halves whose sha1(id) is even (the rubric may be calibrated on it) and
                  odd (it may not): the figures of `agreement`
    overtaking    spoiled kinds whose mean reward is not below that of the clean kind
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import qmd
import retrieval
import retrieval_results
import reward
from baselines import BASELINES
from collection import JudgedQuery
from dataset.console import console_for_tables
from evaluation import mean_interval
from expander import Expander
from generations import Asking, generations
from search import Index
from spoiled import SPOILERS

FORMAT = 1
QUERIES = 100
SAMPLES = 8  # of the tuned model, to pick the best from
TUNED, UNTUNED = "tuned", "untuned"
ASKINGS: dict[str, list[Asking]] = {
    TUNED: [Asking(seed=seed) for seed in range(1, SAMPLES + 1)],
    f"{TUNED}, greedy": [Asking("greedy")],
    f"{TUNED}, temperature 1.5": [Asking(temperature=1.5)],
}


@dataclass(frozen=True)
class Kind:
    """One kind of expansion: its texts by query, one a sample."""

    name: str
    texts: retrieval.Expansions
    runaway: float | None = None
    clean: str | None = None


def _generated(name: str, expander: Expander, queries: Sequence[str], askings: Sequence[Asking]) -> Kind:
    said = [generations(expander, queries, asking) for asking in askings]
    texts = {query: [one.text for one in samples] for query, *samples in zip(queries, *said, strict=True)}
    return Kind(name, texts, mean(not one.finished for samples in said for one in samples))


def kinds(
    queries: Sequence[str],
    tuned: Expander,
    untuned: Expander | None,
    written: Mapping[str, retrieval.Expansions],
) -> list[Kind]:
    """All kinds of expansion of these queries. `written` holds those that come from files, by name.

    The first written kind is spoiled; without one, the tuned model's first sample is.
    """
    found = [_generated(name, tuned, queries, askings) for name, askings in ASKINGS.items()]
    if untuned:
        found.append(_generated(UNTUNED, untuned, queries, ASKINGS[TUNED][:1]))
    found += [
        Kind(name, {query: [expand(query)] for query in queries})
        for name, expand in BASELINES.items()
        if name != retrieval_results.ORIGINAL
    ]
    found += [Kind(name, texts) for name, texts in written.items()]
    clean = next(kind for kind in found if kind.name == next(iter(written), TUNED))
    for name, spoil in SPOILERS.items():
        texts = {query: [spoil(query, clean.texts[query][0])] for query in queries}
        found.append(Kind(f"{clean.name}, {name}", texts, clean=clean.name))
    return found


# --- Measuring -----------------------------------------------------------------------------------------

# Reward or nDCG@10: for each kind and query id the value of each sample.
Values = Mapping[str, Mapping[str, Sequence[float]]]


def half(query: JudgedQuery) -> str:
    """Which half a query is in: the rubric is calibrated on the even one, and reported on the odd one."""
    return "even" if int(hashlib.sha1(query.id.encode()).hexdigest(), 16) % 2 == 0 else "odd"


def _rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's; None where one side says the same of everything."""
    from scipy.stats import spearmanr

    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    return float(spearmanr(one, other).statistic)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _means(values: Values, kind: str, ids: Sequence[str]) -> list[float]:
    return [mean(values[kind][id]) for id in ids]


def best_of_samples(rewards: Values, gains: Values, kind: str, ids: Sequence[str]) -> dict[str, Any]:
    """What picking each query's sample of the highest reward brings over a random one: its gain in nDCG@10 with an
    interval, and that of picking the sample that searches best."""
    picked, oracle = [], []
    for id in ids:
        scores, found = rewards[kind][id], gains[kind][id]
        best = [value for score, value in zip(scores, found, strict=True) if score == max(scores)]
        picked.append(mean(best) - mean(found))
        oracle.append(max(found) - mean(found))
    gain = mean_interval(picked)
    share = gain[0] / mean(oracle) if any(oracle) else None
    return {"gain": [_rounded(value) for value in gain], "oracle": round(mean(oracle), 4), "share": _rounded(share)}


def agreement(rewards: Values, ndcg: Values, ids: Sequence[str]) -> dict[str, Any]:
    """How well the reward orders what search orders, over these queries.

    over_kinds      Spearman's rank correlation between the kinds' mean reward and mean nDCG@10
    pairs           of the pairs of kinds whose difference in nDCG@10 has a 95% interval without zero: how many there
                    are, the share that the mean rewards order alike, and those that they do not
    within_queries  the mean over queries of the rank correlation between the kinds' reward and nDCG@10 of that query
    ceiling         the same for whoever knows each kind's true mean nDCG@10: a single query's is noisy
    best_of         see `best_of_samples`
    """
    names = list(rewards)
    by_reward = {name: mean(_means(rewards, name, ids)) for name in names}
    by_ndcg = {name: mean(_means(ndcg, name, ids)) for name in names}
    wrong, clear = [], 0
    for one, other in combinations(names, 2):
        left, right = _means(ndcg, one, ids), _means(ndcg, other, ids)
        difference, low, high = mean_interval([a - b for a, b in zip(left, right, strict=True)])
        if low > 0 or high < 0:
            clear += 1
            if (by_reward[one] - by_reward[other]) * difference <= 0:
                wrong.append([one, other] if difference > 0 else [other, one])
    within, ceiling = [], []
    for id in ids:
        found = [mean(ndcg[name][id]) for name in names]
        own = _rank_correlation([mean(rewards[name][id]) for name in names], found)
        if own is not None:
            within.append(own)
            ceiling.append(_rank_correlation([by_ndcg[name] for name in names], found) or 0.0)
    return {
        "queries": len(ids),
        "over_kinds": _rounded(_rank_correlation(list(by_reward.values()), list(by_ndcg.values()))),
        "pairs": {"clear": clear, "ordered": _rounded(1 - len(wrong) / clear if clear else None), "wrong": wrong},
        "within_queries": _rounded(mean(within) if within else None),
        "ceiling": _rounded(mean(ceiling) if ceiling else None),
        "best_of": best_of_samples(rewards, ndcg, TUNED, ids),
    }


def _duplicates(kind: Kind) -> float:
    served = [qmd.served(query, text) for query, texts in kind.texts.items() for text in texts]
    lines = sum(len(one.kept) + len(one.dropped) for one in served)
    return round(sum(len(one.duplicates) for one in served) / max(1, lines), 4)


def evaluate(index: Index, queries: Sequence[JudgedQuery], compared: Sequence[Kind]) -> dict[str, Any]:
    """Score and search every kind; the results file without its settings."""
    original = retrieval.System(retrieval_results.ORIGINAL, {query.text: [""] for query in queries})
    searches = [original, *(retrieval.System(kind.name, kind.texts) for kind in compared)]
    searched = retrieval.search_with(index, searches, queries)
    ndcg = {
        system.name: {
            id: [sample[retrieval_results.MAIN] for sample in samples]
            for id, samples in retrieval.measures_of(searched["lists"][system.name], queries).items()
        }
        for system in searches
    }
    alone = ndcg.pop(retrieval_results.ORIGINAL)
    rewards = {
        kind.name: {
            query.id: [reward.score(query.text, text).percentage for text in kind.texts[query.text]]
            for query in queries
        }
        for kind in compared
    }
    ids = [query.id for query in queries]
    halves = {"all": ids} | {name: [query.id for query in queries if half(query) == name] for name in ("even", "odd")}
    shown = {}
    for kind in compared:
        found = _means(ndcg, kind.name, ids)
        gain = mean_interval([value - alone[id][0] for value, id in zip(found, ids, strict=True)])
        shown[kind.name] = {
            "samples": len(next(iter(kind.texts.values()))),
            "reward": round(mean(_means(rewards, kind.name, ids)), 2),
            "ndcg": round(mean(found), 4),
            "gain": [round(value, 4) for value in gain],
            "duplicates": _duplicates(kind),
            "runaway": _rounded(kind.runaway),
            "clean": kind.clean,
        }
    return {
        "original": round(mean(values[0] for values in alone.values()), 4),
        "kinds": shown,
        "agreement": {name: agreement(rewards, ndcg, found) for name, found in halves.items() if found},
        "overtaking": [
            name
            for name, found in shown.items()
            if found["clean"] and found["reward"] >= shown[found["clean"]]["reward"]
        ],
    }


# --- Showing -------------------------------------------------------------------------------------------


def print_results(results: Mapping[str, Any]) -> None:
    """Print a row a kind, best search first, and how well the score agrees with it."""
    from rich.table import Table

    settings, screen = results["settings"], console_for_tables()
    title = f"{settings['collection']}: {settings['queries']} queries, original query alone {results['original']:.3f}"
    table = Table(title=title, title_justify="left")
    table.add_column("kind")
    for column in ("samples", "reward", retrieval_results.MAIN, "gain", "95% interval", "duplicates", "runaway"):
        table.add_column(column, justify="right")
    for name, found in sorted(results["kinds"].items(), key=lambda item: -item[1]["ndcg"]):
        gain, low, high = found["gain"]
        table.add_row(
            name,
            str(found["samples"]),
            f"{found['reward']:.1f}",
            f"{found['ndcg']:.3f}",
            f"{gain:+.3f}",
            f"{low:+.3f} to {high:+.3f}",
            f"{found['duplicates']:.1%}",
            "" if found["runaway"] is None else f"{found['runaway']:.1%}",
        )
    screen.print(table)
    table = Table(title="agreement of reward and search", title_justify="left")
    for column in (
        "queries",
        "over kinds",
        "clear pairs",
        "ordered",
        "within queries",
        "ceiling",
        "best of",
        "oracle",
        "share",
    ):
        table.add_column(column, justify="left" if column == "queries" else "right")
    for name, found in results["agreement"].items():
        gain, low, high = found["best_of"]["gain"]
        table.add_row(
            f"{name}, {found['queries']}",
            *(_shown(value) for value in (found["over_kinds"], found["pairs"]["clear"], found["pairs"]["ordered"])),
            *(_shown(found[key]) for key in ("within_queries", "ceiling")),
            f"{gain:+.3f}, {low:+.3f} to {high:+.3f}",
            f"{found['best_of']['oracle']:+.3f}",
            "" if found["best_of"]["share"] is None else f"{found['best_of']['share']:.0%}",
        )
    screen.print(table)
    for better, worse in results["agreement"]["all"]["pairs"]["wrong"]:
        screen.print(f"searches better and is scored no higher: {better}, than {worse}", soft_wrap=True)
    for name in results["overtaking"]:
        screen.print(f"is spoiled and is scored no lower than its clean kind: {name}", soft_wrap=True)


def _shown(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.2f}"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Mean reward against mean nDCG@10, a point a kind, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, found in results["kinds"].items():
        axes.plot(found["reward"], found["ndcg"], "o", color="tab:red" if found["clean"] else "tab:blue")
        axes.annotate(name, (found["reward"], found["ndcg"]), xytext=(5, 3), textcoords="offset points", fontsize=8)
    axes.axhline(results["original"], color="0.7", linewidth=1)
    axes.set(xlabel="mean reward", ylabel=f"mean {retrieval_results.MAIN} (the line: the original query alone)")
    axes.set_title(f"{results['settings']['collection']}, {results['settings']['queries']} queries", loc="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
