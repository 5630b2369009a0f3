# /// script
# requires-python = ">=3.11"
# dependencies = ["matplotlib", "numpy", "pydantic>=2.12", "qmd-expansion", "rapidfuzz", "rich"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.uv.sources]
# qmd-expansion = { path = "..", editable = true }
# ///
"""What the training data is made of, and whether it reads as if it came from a template.

    uv run dataset/analyze_data.py                          # tables, and outputs/data_analysis.png
    uv run dataset/analyze_data.py data/work.jsonl --png work.png
    uv run dataset/analyze_data.py --json analysis.json

Exit code 2 on data that does not fit the schema.
"""

import argparse
import json
import random
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import language
import lexicon
import qmd
from dataset.console import console_for_tables, run
from dataset.schema import SchemaError, TrainingExample, data_files, load_examples
from dataset.validate_schema import near_copies
from lines import new_terms, read_line
from query import asks_how_to, read_query

ROOT = Path(__file__).resolve().parent.parent
OPENING = 4  # words
SAMPLE = 1000  # hydes a random sample for distinct-2


def terms_of(lex_line: str) -> int:
    """The number of terms that a lex line ANDs."""
    return sum(not term.negated for term in qmd.lex_terms(lex_line))


def stands_in(lex_line: str, text: str) -> bool:
    """Whether all terms of a lex line stand in a text, as QMD's prefix match and stemmer would find them."""
    stems, lowered = language.stems(language.words(text)), text.lower()
    return all(
        term.text.lower() in lowered or language.stems(language.words(term.text)) <= stems
        for term in qmd.lex_terms(lex_line)
        if not term.negated
    )


def share_in_own_hyde(examples: Iterable[TrainingExample]) -> float:
    """Of the examples with a hyde and lex lines, the share with a lex line whose terms all stand in that hyde."""
    found = []
    for example in examples:
        texts = {kind: [line.text for line in example.output if line.type == kind] for kind in qmd.LINE_TYPES}
        if texts["hyde"] and texts["lex"]:
            found.append(any(stands_in(line, texts["hyde"][0]) for line in texts["lex"]))
    return _share(found)


def share_with_own_pairs(examples: Iterable[TrainingExample]) -> float:
    """Of the queries of three content words and more, the share answered by two lex lines of their own words."""
    found = []
    for example in examples:
        query = read_query(example.query)
        if query.only or query.length < 3:
            continue
        lex = [read_line(query, line) for line in example.output if line.type == "lex"]
        found.append(sum(new_terms(query, judged) == 0 for judged in lex) >= 2)
    return _share(found)


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found) if found else 0.0


def openings(texts: Iterable[str], words: int = OPENING) -> Counter[str]:
    """How many texts begin with the same words; texts of no more words than that are left out."""
    split = (text.lower().split() for text in texts)
    return Counter(" ".join(tokens[:words]) for tokens in split if len(tokens) > words)


def repeated_ngrams(texts: Iterable[str], words: int = OPENING) -> Counter[str]:
    """In how many texts a run of that many words stands, for the runs that more than one text has."""
    counts: Counter[str] = Counter()
    for text in texts:
        tokens = text.lower().split()
        counts.update({" ".join(tokens[i : i + words]) for i in range(len(tokens) - words + 1)})
    return Counter({run: n for run, n in counts.items() if n > 1})


def distinct_2(texts: Sequence[str], samples: int = 5, seed: int = 0) -> float:
    """Distinct word pairs over all word pairs: the mean over random samples of SAMPLE texts, or of all if fewer."""
    chance = random.Random(seed)
    shares = []
    for _ in range(samples if len(texts) > SAMPLE else 1):
        pairs = [
            pair for text in chance.sample(texts, min(SAMPLE, len(texts))) for pair in pairwise(language.words(text))
        ]
        shares.append(len(set(pairs)) / len(pairs) if pairs else 1.0)
    return statistics.mean(shares)


def _query_form(query: str) -> str:
    words = len(language.words(qmd.split_mode(query)[0]))
    return "1 word" if words == 1 else "2-3 words" if words <= 3 else "4-6 words" if words <= 6 else "7 and more"


def _language(example: TrainingExample) -> str:
    """The language of all that an example says, which tells more than a short query."""
    said = [qmd.split_mode(example.query)[0], *(line.text for line in example.output)]
    return language.query_language(" ".join(said)) or "?"


def _line_counts(example: TrainingExample) -> str:
    counts = Counter(line.type for line in example.output)
    return " ".join(f"{counts[kind]} {kind}" for kind in qmd.LINE_TYPES)


def names_in_lex(examples: Iterable[TrainingExample]) -> float:
    """Of the names in queries that lex lines answer, the share that stands in one of them."""
    wanted = held = 0
    for example in examples:
        query = read_query(example.query)
        if query.only in (None, "lex"):
            lex = [read_line(query, line).names for line in example.output if line.type == "lex"]
            wanted += len(query.names)
            held += len(frozenset().union(*lex))
    return held / wanted if wanted else 1.0


def _filler_lines(examples: Iterable[TrainingExample]) -> int:
    def bare(text: str) -> set[str]:
        return set(text.lower().replace('"', " ").split())

    return sum(
        bool(lexicon.FILLER_WORDS & (bare(line.text) - bare(example.query)))
        for example in examples
        for line in example.output
        if line.type == "lex"
    )


def _needless_how_to(examples: Iterable[TrainingExample]) -> float:
    """The share of queries that ask for no procedure but have a vec line that opens with "how to"."""
    others = [e for e in examples if not asks_how_to(e.query)]
    return _share([any(v.text.lower().startswith("how to") for v in e.output if v.type == "vec") for e in others])


def analyze(examples: Sequence[TrainingExample]) -> dict:
    """Every figure of the analysis; tables are dicts from a name to a count."""
    texts = {kind: [line.text for e in examples for line in e.output if line.type == kind] for kind in qmd.LINE_TYPES}
    terms = [terms_of(line) for line in texts["lex"]]
    queries = [qmd.split_mode(e.query)[0] for e in examples]
    sentences = texts["vec"] + texts["hyde"]
    return {
        "examples": len(examples),
        "categories": dict(Counter(e.category or "none" for e in examples).most_common()),
        "languages": dict(Counter(map(_language, examples)).most_common()),
        "query forms": dict(sorted(Counter(map(_query_form, queries)).items())),
        "only modes": dict(Counter(qmd.split_mode(e.query)[1] or "none" for e in examples).most_common()),
        "line counts": dict(Counter(map(_line_counts, examples)).most_common(8)),
        "terms a lex line": dict(sorted(Counter(terms).items())),
        "hyde lengths": [len(text) for text in texts["hyde"]],
        "openings of vec": dict(openings(texts["vec"]).most_common(5)),
        "openings of hyde": dict(openings(texts["hyde"]).most_common(5)),
        "runs of 4 words": dict(repeated_ngrams(sentences).most_common(5)),
        "figures": {
            "median terms a lex line": int(statistics.median_low(terms or [0])),
            "lex lines of at most 3 terms": _share([t <= 3 for t in terms]),
            "longest lex line, terms": max(terms, default=0),
            "examples with a lex line that stands in their hyde": share_in_own_hyde(examples),
            "longer queries with two lex lines of their own words": share_with_own_pairs(examples),
            "names of queries that stand in a lex line": names_in_lex(examples),
            "most frequent opening of vec, share": max(openings(texts["vec"]).values(), default=0)
            / max(1, len(texts["vec"])),
            "most frequent opening of hyde, share": max(openings(texts["hyde"]).values(), default=0)
            / max(1, len(texts["hyde"])),
            "distinct-2 of hydes": distinct_2(texts["hyde"]),
            "lex lines with filler": _filler_lines(examples),
            "needless how to, share of examples": _needless_how_to(examples),
            "near copies among queries": sum(1 for _ in near_copies(queries)),
            "near copies among sentences": sum(1 for _ in near_copies(sentences)),
            "examples without hyde": _share([all(line.type != "hyde" for line in e.output) for e in examples]),
        },
    }


def print_analysis(analysis: dict) -> None:
    """Print the analysis as tables."""
    from rich.columns import Columns
    from rich.table import Table

    tables = []
    for name, counts in analysis.items():
        if not isinstance(counts, dict) or name == "figures":
            continue
        table = Table(name, "count", title_justify="left")
        for key, count in counts.items():
            table.add_row(str(key), str(count))
        tables.append(table)
    figures = Table("figure", "value")
    for name, value in analysis["figures"].items():
        figures.add_row(name, f"{value:.1%}" if isinstance(value, float) else f"{value:g}")
    console = console_for_tables()
    console.print(Columns(tables, padding=(0, 2)))
    console.print(figures)


def plot(analysis: dict, path: Path) -> None:
    """Draw the spread of query lengths, languages, lex terms and hyde lengths into a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(10, 6.5), layout="constrained")
    bars = (
        ("query forms", "query length"),
        ("languages", "language of the query"),
        ("terms a lex line", "terms a lex line"),
    )
    for axis, (name, title) in zip(axes.flat[:3], bars, strict=True):
        axis.bar([str(key) for key in analysis[name]], list(analysis[name].values()), color="#4c72b0")
        axis.set(title=title, ylabel="lines" if name == "terms a lex line" else "examples")
    axes[0, 1].tick_params(axis="x", rotation=60)
    axes[1, 1].hist(analysis["hyde lengths"], bins=24, color="#4c72b0")
    axes[1, 1].set(title="characters a hyde", ylabel="hydes")
    figure.suptitle(f"{analysis['examples']} training examples")
    figure.savefig(path, dpi=120, format="png")
    pyplot.close(figure)


def main() -> int:
    """Print the analysis and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="data files or folders (default: data/)")
    parser.add_argument("--png", type=Path, default=ROOT / "outputs" / "data_analysis.png", help="where to draw it")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    args = parser.parse_args()
    try:
        examples = [
            e for path in args.files or [ROOT / "data"] for file in data_files(path) for e in load_examples(file)
        ]
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 2
    if not examples:
        print("no examples", file=sys.stderr)
        return 2
    for path in filter(None, (args.png, args.json)):
        path.parent.mkdir(parents=True, exist_ok=True)
    analysis = analyze(examples)
    print_analysis(analysis)
    plot(analysis, args.png)
    print(f"drawn in {args.png}")
    if args.json:
        args.json.write_text(json.dumps(analysis, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)
