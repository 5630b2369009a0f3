# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic>=2.12", "qmd-expansion", "rich"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.uv.sources]
# qmd-expansion = { path = "..", editable = true }
# ///
"""Score every training example with reward.py: the spread by file and category, and the worst ones with the reasons.

    uv run dataset/score_data.py
    uv run dataset/score_data.py data/work.jsonl --worst 20
    uv run dataset/score_data.py --min-score 70     # a gate: exit code 1 if an example scores less

Exit code 2 on data that does not fit the schema.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import reward
from dataset.console import console_for_tables, run, tracked
from dataset.schema import SchemaError, TrainingExample, data_files, read_rows

ROOT = Path(__file__).resolve().parent.parent


class Scored(NamedTuple):
    """An example with its place and its score."""

    path: Path
    line: int
    example: TrainingExample
    percentage: float
    deductions: list[str]


def score_files(files: Iterable[Path]) -> list[Scored]:
    """Score every example; raises SchemaError on the first bad line."""
    scored = []
    for path, row in tracked(((file, row) for file in files for row in read_rows(file)), "examples"):
        if row.error:
            raise row.error
        detail = reward.score_expansion_detailed(row.example.query, row.example.render())
        scored.append(Scored(path, row.line, row.example, detail["percentage"], why_not_full(detail)))
    return scored


def why_not_full(detail: dict) -> list[str]:
    """The deductions of a detailed score, then what lowered the value of its lines."""
    return detail["deductions"] + [
        f"{line['type']} “{line['text']}” {line['value']:.2f}: {', '.join(line['lowered'])}"
        for line in sorted(detail["lines"], key=lambda line: line["value"])
        if line["lowered"] and line["value"] < 0.7
    ]


def _table(title: str, scored: Sequence[Scored], group: Callable[[Scored], str]) -> "Table":  # noqa: F821
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(title)
    for name in ("examples", "mean", "median", "tenth", "lowest", *(name for _, name in reward.RATINGS)):
        table.add_column(name, justify="right")
    groups: dict[str, list[Scored]] = {}
    for item in scored:
        groups.setdefault(group(item), []).append(item)
    for name, items in [*sorted(groups.items()), ("all", list(scored))]:
        values = sorted(item.percentage for item in items)
        ratings = [reward.rating(value) for value in values]
        table.add_row(
            name,
            str(len(values)),
            *(
                f"{v:.1f}"
                for v in (statistics.mean(values), statistics.median(values), values[len(values) // 10], values[0])
            ),
            *(str(ratings.count(name)) for _, name in reward.RATINGS),
        )
    return table


def _count(text: str) -> int:
    if (number := int(text)) < 0:
        raise ValueError
    return number


def _percentage(text: str) -> float:
    if not 0 <= (number := float(text)) <= 100:
        raise ValueError
    return number


_count.__name__, _percentage.__name__ = "number", "score from 0 to 100"  # for argparse's message


def main() -> int:
    """Print the tables and the worst examples; 1 if one is under --min-score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="data files or folders (default: data/)")
    parser.add_argument("--worst", type=_count, default=5, metavar="N", help="show the N worst (default: %(default)s)")
    parser.add_argument(
        "--min-score", type=_percentage, metavar="X", help="fail if an example scores under X, 0 to 100"
    )
    args = parser.parse_args()
    try:
        scored = score_files(file for path in args.files or [ROOT / "data"] for file in data_files(path))
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 2
    if not scored:
        print("no examples", file=sys.stderr)
        return 2
    console = console_for_tables()
    console.print(_table("file", scored, lambda item: str(item.path)))
    console.print(_table("category", scored, lambda item: item.example.category or "none"))
    by_score = sorted(scored, key=lambda item: item.percentage)
    low = [item for item in by_score if args.min_score is not None and item.percentage < args.min_score]
    for item in low + by_score[len(low) : args.worst]:
        print(f"{item.path}:{item.line}: {item.percentage:.1f} “{item.example.query}”")
        for why in item.deductions:
            print(f"    {why}")
    if args.min_score is not None:
        print(f"{len(low)} of {len(scored)} examples score under {args.min_score:g}")
    return 1 if low else 0


if __name__ == "__main__":
    run(main)
