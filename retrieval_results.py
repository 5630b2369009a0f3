"""Results of `eval_retrieval.py`: what the file holds, and how it is read, printed and drawn.

The results file is one JSON object:

    format        2; changes when the meaning of a key does
    settings      collection (name, documents, queries, a hash of documents and judgements), embedding model, bypass,
                  reward version
    expander      its name among the systems, which one it is, and how it was asked
    systems       for each system its mean of each measure, and beside the original query alone the mean difference
                  with its 95% paired bootstrap interval and the queries that it wins, ties and loses (by nDCG@10); the
                  share of its lex lines that find nothing
    queries       for each query: id, text, and the measures of each system, averaged over its samples
    lines         the expander's lines by type, lex lines by how many of their terms the query lacks: their number, the
                  gain in nDCG@10 that one of them alone brings (a mean over queries, with its interval), and the share
                  of lex lines that find nothing
    hurt          the queries that the expander hurts most, with the line that does it, if one line alone does
    categories    by the queries' `metadata.category`, where they have one: how many there are, and the gain with its
                  interval of the expander, whole and without each type of line
    unjudged      by query id, the documents in some system's top ten that have no judgement, the highest first

Systems are the original query alone, the baselines, and the expander: whole, without each type of line, and with one
lex or one vec line, the first.
Measures are trec_eval's: nDCG@10 with the grade as the gain, the reciprocal rank and the recall among 20 of documents
of any positive grade.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset.console import console_for_tables
from evaluation import ResultsError

FORMAT = 2
MEASURES = ("nDCG@10", "RR", "R@20")
MAIN = "nDCG@10"
ORIGINAL = "original"
# Settings that two searches must share.
SAME_SEARCH = ("collection", "collection_hash", "queries_hash", "embedding", "bypass")


def read_results(path: Path) -> dict[str, Any]:
    """Read a results file that has an expander. Raises ResultsError."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        name = results["expander"]["name"]
        if results["format"] != FORMAT:
            raise ResultsError(f"{path}: is of format {results['format']}, not {FORMAT}: measure it again")
        if not all(MAIN in row[name] for row in results["queries"]):
            raise ValueError
        [results["settings"][key] for key in SAME_SEARCH], results["systems"][name]["gain"]
    except ResultsError:
        raise
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ResultsError(f"{path}: is no results file of eval_retrieval.py with an expander") from None
    return results


# --- Showing -------------------------------------------------------------------------------------------


def print_results(results: Mapping[str, Any]) -> None:
    """Print a row a system, and the queries that the expander hurts most."""
    from rich.table import Table

    settings = results["settings"]
    title = f"{settings['collection']}: {settings['documents']} documents, {settings['queries']} queries"
    table = Table(title=title, title_justify="left")
    table.add_column("system")
    for column in (*MEASURES, f"gain in {MAIN}", "95% interval", "won", "tied", "lost", "lex finds nothing"):
        table.add_column(column, justify="right")
    for name, found in results["systems"].items():
        gain, low, high = found["gain"]
        zero = found["zero_hit_lex"]
        table.add_row(
            name,
            *(f"{found[measure]:.3f}" for measure in MEASURES),
            "" if name == ORIGINAL else f"{gain:+.3f}",
            "" if name == ORIGINAL else f"{low:+.3f} to {high:+.3f}",
            *(str(found[key]) if name != ORIGINAL else "" for key in ("wins", "ties", "losses")),
            "" if zero is None else f"{zero:.0%}",
        )
    screen = console_for_tables()
    screen.print(table)
    if results.get("lines"):
        table = Table(title=f"what one line alone brings: gain in {MAIN}, a mean over queries", title_justify="left")
        table.add_column("line")
        for column in ("lines", "queries", "gain", "95% interval", "finds nothing"):
            table.add_column(column, justify="right")
        for name, found in results["lines"].items():
            gain, low, high = found["gain"]
            zero = "" if found["zero_hit"] is None else f"{found['zero_hit']:.0%}"
            counts = (str(found["lines"]), str(found["queries"]))
            table.add_row(name, *counts, f"{gain:+.3f}", f"{low:+.3f} to {high:+.3f}", zero)
        screen.print(table)
    if results.get("categories"):
        screen.print(_by_category(results["categories"], results["expander"]["name"]))
    if pairs := sum(map(len, results["unjudged"].values())):
        screen.print(f"{pairs} documents in some top ten are not judged (--pool FILE lists them)")
    if results.get("hurt"):
        screen.print(f"\nHurt most ({MAIN} of the original query, expanded, and without the line named):")
    for row in results.get("hurt", []):
        screen.print(f"{row['original']:.2f} {row['expanded']:.2f}  {row['query']}", soft_wrap=True)
        if row["line"]:
            screen.print(f"      {row['without']:.2f}  {row['line']}", soft_wrap=True)


def _by_category(categories: Mapping[str, Any], expander: str) -> Any:
    """The table of gains by category."""
    from rich.table import Table

    table = Table(title=f"gain in {MAIN} by category", title_justify="left")
    table.add_column("category")
    names = [name for name in next(iter(categories.values())) if name != "queries"]
    for column in ("queries", "gain", "95% interval", *(name.removeprefix(f"{expander} ") for name in names[1:])):
        table.add_column(column, justify="right")
    for category, found in categories.items():
        gain, low, high = found[names[0]]
        parts = (f"{found[name][0]:+.3f}" for name in names[1:])
        table.add_row(category, str(found["queries"]), f"{gain:+.3f}", f"{low:+.3f} to {high:+.3f}", *parts)
    return table


def draw(results: Mapping[str, Any], path: Path) -> None:
    """The gain of each system over the original query, with its interval, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(name, found["gain"]) for name, found in results["systems"].items() if name != ORIGINAL][::-1]
    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(rows) + 1.2))
    for place, (_, (gain, low, high)) in enumerate(rows):
        axes.plot([low, high], [place, place], color="0.5", linewidth=2)
        axes.plot(gain, place, "o", color="tab:green" if low > 0 else "tab:red" if high < 0 else "0.3")
    axes.axvline(0, color="0.7", linewidth=1)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    settings = results["settings"]
    alone = results["systems"][ORIGINAL][MAIN]
    axes.set_xlabel(f"gain in {MAIN} over the original query alone ({alone:.3f}), with its 95% interval")
    axes.set_title(f"{settings['collection']}, {settings['queries']} queries", loc="left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
