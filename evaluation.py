"""What a model's expansions are worth, over a file of queries: `eval.py` is its command, `train.py` ends with it.

The results file is one JSON object:

    format        1; changes when the meaning of a key does
    settings      which model (name, revision, hash of its weights, base, hash of its training data), which queries
                  (their number and hash), prompt, decoding, grammar, seeds, versions of QMD and of the reward
    summary       the figures of `summarize` over everything, and under "categories" for each category
    speed         p50 and p95 of seconds and tokens an expansion
    expansions    for each query and seed: query, category, seed, text, tokens, seconds, finished, valid, score
                  (percentage), breakdown (points a section), deductions, kept, dropped, duplicates (numbers of lines)
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

import base
import qmd
import reward
from dataset.console import console_for_tables, tracked
from dataset.files import rows_so_far, sha256_of, write_whole
from dataset.schema import EvalQuery
from expander import Expander, Generation

FORMAT = 1
RESULTS = "eval_results.json"  # its name beside a model
SEEDS = (1, 2, 3)
RESAMPLES = 10_000  # of the bootstrap


class ResultsError(ValueError):
    """A results file that can't be read or compared."""


class Settings(BaseModel):
    """What was asked, of whom, and how: results of other settings can't be continued, nor compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: str | None
    weights: str | None
    base: str | None
    training_data: str | None
    queries: int
    queries_hash: str
    prompt: Literal["served", "plain"]
    decoding: Literal["qmd", "greedy"]
    grammar: bool
    seeds: tuple[int, ...]
    qmd_version: str = qmd.QMD_VERSION
    reward_version: str = reward.REWARD_VERSION

    @classmethod
    def of(
        cls,
        expander: Expander,
        queries: Sequence[EvalQuery],
        decoding: Literal["qmd", "greedy"],
        seeds: Sequence[int],
    ) -> "Settings":
        """Describe an evaluation that is about to run."""
        weights, data = identity(expander.files)
        return cls(
            model=expander.name,
            revision=expander.commit,
            weights=weights,
            base=expander.base_model,
            training_data=data,
            queries=len(queries),
            queries_hash=queries_hash(query.text for query in queries),
            prompt="served" if expander.system else "plain",
            decoding=decoding,
            grammar=expander.grammar,
            seeds=tuple(seeds),
        )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def queries_hash(texts: Iterable[str]) -> str:
    """What tells one list of queries from another in a results file."""
    return _hash("\n".join(texts).encode())


def weights_hash(hashes: Iterable[str]) -> str:
    """What tells one model's weights from another's, of the SHA-256 of each of its files in order."""
    return _hash(b"".join(map(bytes.fromhex, hashes)))


def identity(model: Path | None) -> tuple[str | None, str | None]:
    """Hashes of a model's weights and of the data it was trained on, where its files tell them. Raises LoadError."""
    if model is None:
        return None, None
    if model.is_file():
        files = [model]
    else:
        # In the order of their names in a repository; without the adapter below it an adapter is not a model.
        files = [path for place in ("*", f"{base.SFT}/*") for path in sorted(model.glob(f"{place}.safetensors"))]
    run = base.read_run(model.parent if model.is_file() else model)
    return weights_hash(map(sha256_of, files)) if files else None, run["data"]["data_hash"][:16] if run else None


def spread(queries: Sequence[EvalQuery], limit: int | None) -> list[EvalQuery]:
    """`limit` queries, evenly spread over the file so that every category keeps its share; all of them without one."""
    if limit is None or limit >= len(queries):
        return list(queries)
    return [queries[number * len(queries) // limit] for number in range(limit)]


def judge(query: EvalQuery, seed: int, generation: Generation) -> dict[str, Any]:
    """One row of `expansions`."""
    detail = reward.score_expansion_detailed(query.text, generation.text)
    served = qmd.served(query.text, generation.text)
    return {
        "query": query.text,
        "category": query.category,
        "seed": seed,
        "text": generation.text,
        "tokens": generation.tokens,
        "seconds": round(generation.seconds, 3),
        "finished": generation.finished,
        "valid": reward.valid_format(query.text, generation.text),
        "score": detail["percentage"],
        "breakdown": {section: detail[section] for section in reward.POINTS},
        "deductions": detail["deductions"],
        "kept": 0 if served.fallback else len(served.kept),
        "dropped": len(served.dropped),
        "duplicates": len(served.duplicates),
    }


def _read_partial(path: Path, settings: Settings) -> list[dict[str, Any]]:
    """The rows of an interrupted evaluation under the same settings; none of any other."""
    described, *rows = rows_so_far(path) or [None]
    return rows if described == settings.model_dump(mode="json") else []


def evaluate(
    expander: Expander, queries: Sequence[EvalQuery], settings: Settings, partial: Path | None = None
) -> dict[str, Any]:
    """Expand and score every query under every seed.

    Rows go to `partial` as they come; rows that stand there already, from the same settings, are not computed again.
    """
    rows = _read_partial(partial, settings) if partial else []
    done = {(row["query"], row["seed"]) for row in rows}
    file = None
    if partial:
        partial.parent.mkdir(parents=True, exist_ok=True)
        file = partial.open("w", encoding="utf-8")
        file.write(settings.model_dump_json() + "\n")
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()

    def remaining() -> Any:
        for seed in settings.seeds:
            open_queries = [query for query in queries if (query.text, seed) not in done]
            texts = [query.text for query in open_queries]
            for index, generation in expander.generate(texts, decoding=settings.decoding, seed=seed):
                yield judge(open_queries[index], seed, generation)

    for row in tracked(remaining(), "expansions", total=len(queries) * len(settings.seeds) - len(rows)):
        rows.append(row)
        if file:
            file.write(json.dumps(row) + "\n")
            file.flush()
    if file:
        file.close()
    place = {query.text: number for number, query in enumerate(queries)}
    rows.sort(key=lambda row: (place[row["query"]], row["seed"]))
    return results_of(settings, rows)


def evaluate_into(
    path: Path,
    expander: Expander,
    queries: Sequence[EvalQuery],
    decoding: Literal["qmd", "greedy"] = "qmd",
    seeds: Sequence[int] = SEEDS,
) -> dict[str, Any]:
    """`evaluate` whose results stand in a file at the end, and are read from it if they stand there already."""
    settings = Settings.of(expander, queries, decoding, seeds)
    try:
        known = read_results(path)
        if known["settings"] == settings.model_dump(mode="json"):
            return known
    except ResultsError:
        pass
    partial = path.with_name(f".{path.name}.partial")
    results = evaluate(expander, queries, settings, partial)
    write_results(results, path)
    partial.unlink()
    return results


def results_of(settings: Settings, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The results file of these rows."""
    categories = {row["category"]: [other for other in rows if other["category"] == row["category"]] for row in rows}
    return {
        "format": FORMAT,
        "settings": settings.model_dump(mode="json"),
        "summary": {**summarize(rows), "categories": {name: summarize(found) for name, found in categories.items()}},
        "speed": {
            key: dict(zip(("p50", "p95"), _percentiles([row[key] for row in rows]), strict=True))
            for key in ("seconds", "tokens")
        },
        "expansions": rows,
    }


def _percentiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return tuple(ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95))


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean score and ratings; shares of expansions of valid format and of runaways; lines kept, dropped, duplicated.

    `reward.valid_format` says which format is valid. A runaway was stopped by the token limit.
    """
    lines = sum(row["kept"] + row["dropped"] for row in rows)
    return {
        "expansions": len(rows),
        "score": round(mean(row["score"] for row in rows), 2),
        "ratings": {name: sum(reward.rating(row["score"]) == name for row in rows) for _, name in reward.RATINGS},
        "valid_format": round(mean(row["valid"] for row in rows), 4),
        "runaway": round(mean(not row["finished"] for row in rows), 4),
        "lines": lines,
        "dropped": round(sum(row["dropped"] for row in rows) / max(1, lines), 4),
        "duplicates": round(sum(row["duplicates"] for row in rows) / max(1, lines), 4),
    }


def write_results(results: dict[str, Any], path: Path) -> None:
    """Write a results file, whole or not at all."""
    write_whole(path, json.dumps(results, ensure_ascii=False, indent=1) + "\n")


def read_results(path: Path) -> dict[str, Any]:
    """Read a results file. Raises ResultsError."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        Settings.model_validate(results["settings"])
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ResultsError(f"{path}: is no results file of eval.py: {' '.join(str(error).split())[:160]}") from None
    if results.get("format") != FORMAT:
        raise ResultsError(f"{path}: has format {results.get('format')}, not {FORMAT}: evaluate again")
    return results


# --- Comparing -----------------------------------------------------------------------------------------


def by_query(results: dict[str, Any]) -> dict[str, float]:
    """Each query's score, averaged over the seeds."""
    scores: dict[str, list[float]] = {}
    for row in results["expansions"]:
        scores.setdefault(row["query"], []).append(row["score"])
    return {query: mean(found) for query, found in scores.items()}


def paired_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, float, float]:
    """Mean difference in score over the queries of both, and its 95% bootstrap interval. Raises ResultsError."""
    for key, what in (("queries_hash", "other queries"), ("reward_version", "another version of the reward")):
        if ours["settings"][key] != theirs["settings"][key]:
            raise ResultsError(f"the results to compare with are of {what}")
    left, right = by_query(ours), by_query(theirs)
    return mean_interval([left[query] - right[query] for query in left])


def mean_interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """The mean of paired differences and its 95% bootstrap interval: (mean, low, high)."""
    import numpy
    from scipy.stats import bootstrap

    values = numpy.array(differences, dtype=float)
    if len(values) < 2 or (values == values[0]).all():
        return (float(values.mean()),) * 3
    found = bootstrap((values,), numpy.mean, n_resamples=RESAMPLES, method="percentile", batch=1000, rng=0)
    return float(values.mean()), float(found.confidence_interval.low), float(found.confidence_interval.high)


# --- Printing ------------------------------------------------------------------------------------------


def _summary_row(name: str, summary: dict[str, Any]) -> list[str]:
    return [
        name,
        str(summary["expansions"]),
        f"{summary['score']:.1f}",
        *(str(count) for count in summary["ratings"].values()),
        f"{summary['valid_format']:.1%}",
        f"{summary['runaway']:.1%}",
        str(summary["lines"]),
        f"{summary['dropped']:.1%}",
        f"{summary['duplicates']:.1%}",
    ]


def _table(title: str, first: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(first)
    ratings = [name for _, name in reward.RATINGS]
    for column in ("n", "score", *ratings, "valid", "runaway", "lines", "dropped", "duplicates"):
        table.add_column(column, justify="right")
    return table


def print_results(results: dict[str, Any], worst: int = 5) -> None:
    """Print the table of categories, the speed and the worst expansions."""
    screen = console_for_tables()
    settings, summary, speed = results["settings"], results["summary"], results["speed"]
    how = f"{settings['decoding']} decoding{' under the grammar' if settings['grammar'] else ''}"
    table = _table(f"{settings['model']}: {how}, seeds {', '.join(map(str, settings['seeds']))}", "category")
    for name, found in summary["categories"].items():
        table.add_row(*_summary_row(name or "-", found))
    table.add_section()
    table.add_row(*_summary_row("all", summary))
    screen.print(table)
    for key in ("seconds", "tokens"):
        screen.print(f"{key} an expansion: p50 {speed[key]['p50']:g}, p95 {speed[key]['p95']:g}")
    if worst:
        screen.print("\nThe worst:")
    for row in sorted(results["expansions"], key=lambda row: row["score"])[:worst]:
        screen.print(f"{row['score']:5.1f}  {row['query']}")
        for line in row["text"].splitlines()[:8]:
            screen.print(f"         {line}", overflow="ellipsis", no_wrap=True)
        for why in row["deductions"][:4]:
            screen.print(f"       {why}")


def print_comparison(ours: dict[str, Any], theirs: dict[str, Any], shown: int = 8) -> None:
    """Print two results side by side, the difference with its interval, and the queries that differ most."""
    screen = console_for_tables()
    difference, low, high = paired_difference(ours, theirs)
    names = [results["settings"]["model"] for results in (ours, theirs)]
    table = _table("side by side", "model")
    for name, results in zip(names, (ours, theirs), strict=True):
        table.add_row(*_summary_row(name, results["summary"]))
    screen.print(table)
    left, right = by_query(ours), by_query(theirs)
    wins = sum(left[query] > right[query] for query in left)
    ties = sum(left[query] == right[query] for query in left)
    screen.print(
        f"{names[0]} minus {names[1]}: {difference:+.2f} points, 95% interval {low:+.2f} to {high:+.2f} "
        f"({wins} better, {ties} the same, {len(left) - wins - ties} worse)",
        soft_wrap=True,
    )
    texts = [{row["query"]: row["text"] for row in reversed(results["expansions"])} for results in (ours, theirs)]
    for query in sorted(left, key=lambda query: -abs(left[query] - right[query]))[:shown]:
        if left[query] != right[query]:
            screen.print(f"\n{query}: {left[query]:.1f} and {right[query]:.1f}")
            for name, found in zip(names, texts, strict=True):
                for line in found[query].splitlines()[:8]:
                    screen.print(f"  {Path(name).name}: {line}", overflow="ellipsis", no_wrap=True)
